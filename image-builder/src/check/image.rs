//! What stands around a chunked image: its manifest, its configuration, its layers.

use std::collections::BTreeMap;

use content::Digest;
use image::causes;
use rafs::BlobId;
use serde::Deserialize;

use crate::oci::{Manifest, annotation};
use crate::opened::OpenError;
use crate::opened::store::Chunked;

use super::Problem;

/// The part of an image's configuration that is looked at.
#[derive(Deserialize)]
struct Config {
    rootfs: Rootfs,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Vec<Digest>,
}

/// So long a configuration may be, in bytes.
const CONFIG_LIMIT: u64 = 8 << 20;

/// What is wrong around the image.
///
/// # Errors
/// If something cannot be read.
pub fn check(chunked: &Chunked) -> Result<Vec<Problem>, OpenError> {
    let Some(manifest) = chunked.manifest() else { return Ok(Vec::new()) };
    let mut problems = blobs(chunked, manifest)?;
    let version =
        manifest.bootstrap().and_then(|b| b.annotations.get(annotation::NYDUS_FS_VERSION));
    if version.is_some_and(|version| version != "6") {
        problems.push("the bootstrap layer is marked as another format than version 6".to_owned());
    }
    match config(chunked, manifest) {
        Ok(Some(wrong)) => problems.push(wrong),
        Ok(None) => {}
        Err(error) if error.is_fault() => problems.push(causes(&error)),
        Err(error) => return Err(error),
    }
    Ok(problems.into_iter().map(Problem::Image).collect())
}

/// Every blob that the image uses is a layer of the manifest, or the registry may drop it, and as
/// long as that says.
fn blobs(chunked: &Chunked, manifest: &Manifest) -> Result<Vec<String>, OpenError> {
    let listed: BTreeMap<Digest, u64> =
        manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
    let mut problems = Vec::new();
    for blob in &chunked.opened.image().blobs {
        let BlobId::Digest(id) = blob.id else { continue };
        let Some(size) = listed.get(&id) else {
            problems.push(format!("blob {id} is used and is no layer of the manifest"));
            continue;
        };
        let there = chunked.store.blob_length(&id, None)?;
        match there {
            None => problems.push(format!("blob {id} is not there")),
            Some(length) if length != *size => {
                problems.push(format!("blob {id} has {length} bytes, and the manifest says {size}"))
            }
            Some(_) => {}
        }
    }
    Ok(problems)
}

/// The configuration lists each layer by what is in it.
fn config(chunked: &Chunked, manifest: &Manifest) -> Result<Option<String>, OpenError> {
    let bytes = chunked.store.whole_blob(&manifest.config, CONFIG_LIMIT);
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return fault(error),
    };
    let Ok(config) = serde_json::from_slice::<Config>(&bytes) else {
        return Ok(Some("the configuration is none: it has no rootfs.diff_ids".to_owned()));
    };
    let expected = manifest
        .layers
        .iter()
        .map(|layer| if layer.is_bootstrap() { chunked.bootstrap_diff_id } else { layer.digest });
    let same = expected.eq(config.rootfs.diff_ids.iter().copied());
    Ok((!same).then(|| {
        "the diff_ids of the configuration are not those of the manifest's layers".to_owned()
    }))
}

/// A configuration with another digest is the image's fault.
fn fault(error: crate::store::StoreError) -> Result<Option<String>, OpenError> {
    use crate::store::StoreError::{NoSuchBlob, Read, TooLong};
    match &error {
        Read { error: cause, .. } if cause.kind() == std::io::ErrorKind::InvalidData => {}
        NoSuchBlob { .. } | TooLong { .. } => {}
        _ => return Err(error.into()),
    }
    Ok(Some(format!("the configuration: {error}")))
}
