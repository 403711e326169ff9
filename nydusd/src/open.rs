//! What a command line names becomes an image whose files can be read.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use content::Digest;
use image::Parts;
use image::choose::{Want, choose};
use image::chunked::{self, Reach};
use image::local::{self, BlobsAt};
use image::oci::Platform;
use image::place::Place;
use image::registry::Repository;
use image::store::Client;
use lazy::{BlobFrom, BlobKey, ChunkCache, LazyImage};
use rafs::{Blob, BlobId, Bootstrap};
use sys::Mapping;
use tempfile::NamedTempFile;

use crate::mounts;
use crate::origin::Origin;
use crate::swarm::{Daemon, Swarm};

/// What a command line says of an image.
#[derive(Clone, Debug)]
pub struct Named {
    /// A registry reference, a layout, an archive, or the path of a bootstrap.
    pub name: String,
    /// With a bootstrap: where its blobs are.
    pub blobs: BlobsAt,
    /// Of several images under one name, which.
    pub platform: Option<Platform>,
}

/// An image that was found.
#[derive(Debug)]
pub struct Found {
    /// Its bootstrap, and who has its blobs.
    pub parts: Parts,
    /// Its repository, if it lies in a registry.
    pub repository: Option<Repository>,
}

/// Finds an image.
///
/// # Errors
/// If there is no such image, or it is none.
pub fn find(
    named: &Named,
    client: impl FnOnce() -> anyhow::Result<Client>,
) -> anyhow::Result<Found> {
    let context = || format!("{} cannot be opened", named.name);
    if let Some(path) = local::bootstrap_at(&named.name) {
        tracing::warn!(
            bootstrap = %path.display(),
            "the bootstrap is a local file, which nothing vouches for: what it says is believed"
        );
        let parts = local::parts(&path, &named.blobs).with_context(context)?;
        return Ok(Found { parts, repository: None });
    }
    let place: Place = named.name.parse()?;
    let store = client()?.open(&place)?;
    let document = choose(&store, Want::Chunked, named.platform.as_ref()).with_context(context)?;
    let found = chunked::parts(&store, &document, Reach::Parts).with_context(context)?;
    let repository = match place {
        Place::Registry { repository, .. } => Some(repository),
        _ => None,
    };
    Ok(Found { parts: found.parts, repository })
}

/// An image that can be mounted.
#[derive(Debug)]
pub struct Opened {
    /// Its files.
    pub image: Arc<LazyImage<Mapping>>,
    /// The copy of its bootstrap, as a file; it is removed when this goes.
    pub bootstrap: NamedTempFile,
}

/// An image whose bootstrap lies mapped in a file of `folder` that nobody else sees, and whose
/// chunks are kept in `cache`. Those of an image in a registry come by way of `daemon`.
///
/// # Errors
/// If the bootstrap cannot be kept, or is none.
pub fn open(
    found: Found,
    daemon: &Arc<Daemon>,
    cache: Arc<ChunkCache>,
    folder: &Path,
) -> anyhow::Result<Opened> {
    let Parts { bootstrap: bytes, blobs, metas, .. } = found.parts;
    let kept = keep(&bytes, folder).context("the bootstrap cannot be kept")?;
    let mapping = Mapping::of(kept.as_file(), 0..bytes.len() as u64);
    let mapping = mapping.context("the bootstrap cannot be mapped")?;
    let bootstrap = Bootstrap::parse_tree(mapping).context("the image's metadata is wrong")?;
    let around = bootstrap.blobs().iter().any(|blob| blob.id == BlobId::Inline);
    let around = around.then(|| Digest::of(&bytes));
    drop(bytes);
    let infos = metas.iter().map(|(blob, bytes)| Ok((*blob, mapped(bytes, folder)?)));
    let infos: HashMap<Digest, Bytes> =
        infos.collect::<std::io::Result<_>>().context("what is known of a blob cannot be kept")?;
    drop(metas);
    let blobs: Arc<dyn image::bytes::Blobs> = Arc::from(blobs);
    let image = LazyImage::new(bootstrap, cache, |blob: &Blob| BlobFrom {
        key: match blob.id {
            BlobId::Digest(digest) => BlobKey::Blob(digest),
            BlobId::Inline => BlobKey::Around(around.unwrap_or_else(|| Digest::of(b""))),
        },
        source: {
            let origin = Arc::new(Origin::new(Arc::clone(&blobs), blob.id));
            match (&found.repository, blob.id) {
                (Some(repository), BlobId::Digest(digest)) => {
                    Arc::new(Swarm::new(Arc::clone(daemon), repository, &digest, origin))
                }
                _ => origin,
            }
        },
        info: match blob.id {
            // Only chunks in batches are looked for in it.
            BlobId::Digest(digest) if blob.has_batches() => infos.get(&digest).cloned(),
            _ => None,
        },
    });
    Ok(Opened { image: Arc::new(image), bootstrap: kept })
}

/// Bytes as a file that only its owner can change or make shorter.
fn keep(bytes: &[u8], folder: &Path) -> std::io::Result<NamedTempFile> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().suffix(mounts::BOOTSTRAP).tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// The same bytes in a mapped file without a name.
fn mapped(bytes: &[u8], folder: &Path) -> std::io::Result<Bytes> {
    if bytes.is_empty() {
        return Ok(Bytes::new());
    }
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(Bytes::from_owner(Mapping::of(&file, 0..bytes.len() as u64)?))
}

/// Where a bootstrap's copy goes beside the chunk cache.
#[must_use]
pub fn metadata_folder(cache: &Path) -> PathBuf {
    cache.join("metadata")
}
