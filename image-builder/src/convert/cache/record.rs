//! What a converted layer is, as a bootstrap layer of its own.

use std::sync::Arc;

use content::Digest;
use rafs::{BlobId, Bootstrap, Image};
use tree::InodeId;

use super::super::assemble::Cut;
use super::super::blob::{DataBlob, Lies};
use super::super::bootstrap;
use super::super::error::ConvertError;
use super::super::layer::{Converted, Shared};
use super::super::spool::SpoolFolder;
use super::list::Entry;
use crate::layer_tree::{layer_of, tree_of};
use crate::store::{NewBlob, Store};
use image::chunked::read_bootstrap;

/// The record of a layer; `None` for one of which it would say something else. There are such: a
/// device 0:0 in a layer reads as a whiteout.
pub(super) fn write(
    converted: &Converted,
    cut: Cut,
    spool: &SpoolFolder,
) -> Result<Option<NewBlob>, ConvertError> {
    let Ok(tree) = tree_of(&converted.layer) else { return Ok(None) };
    let image = Image {
        tree,
        chunks: converted.chunks.clone(),
        blobs: converted.blobs.iter().map(|blob| blob.blob.clone()).collect(),
        chunk_size: cut.chunk_size,
        compressor: cut.compressor,
        digester: cut.digester,
        inlined_digests: cut.inlined_digests,
        prefetch: vec![InodeId::ROOT],
    };
    let written = image.write()?;
    if !says_the_same(written) {
        return Ok(None);
    }
    Ok(Some(bootstrap::layer(image, &converted.blobs, spool)?.blob))
}

/// Whether the layer that is read from a bootstrap would be written as the same one.
fn says_the_same(bootstrap: Vec<u8>) -> bool {
    let again = || {
        let image = Bootstrap::parse(&bootstrap).and_then(|it| it.image()).ok()?;
        let layer = layer_of(&image.tree).ok()?;
        Image { tree: tree_of(&layer).ok()?, ..image }.write().ok()
    };
    again().as_ref() == Some(&bootstrap)
}

/// The layer that a record says, if its blobs are there still.
pub(super) fn read(
    store: &Arc<dyn Store>,
    entry: &Entry,
    shared: &Shared,
) -> Result<Converted, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let found = read_bootstrap(&**store, &entry.record).map_err(|error| text(&error))?;
    let image = Bootstrap::parse(found.bootstrap).and_then(|it| it.image());
    let image = image.map_err(|error| text(&error))?;
    let format = shared.format;
    if (image.chunk_size, image.compressor, image.digester)
        != (format.chunk_size, format.compressor, format.digester)
    {
        return Err("its record is of another format".to_owned());
    }
    let blobs = image.blobs.iter().map(|blob| {
        let BlobId::Digest(digest) = blob.id else {
            return Err("its record does not name its data blob".to_owned());
        };
        let length = listed(entry, &digest)?;
        if store.blob_length(&digest, None).map_err(|error| text(&error))? != Some(length) {
            return Err(format!("data blob {digest} is gone from the cache"));
        }
        let (blob, meta_file) = (blob.clone(), found.metas.get(&digest).cloned());
        Ok(DataBlob { blob, digest, length, meta_file, lies: Lies::In(Arc::clone(store)) })
    });
    let blobs = blobs.collect::<Result<_, _>>()?;
    let layer = layer_of(&image.tree).map_err(|error| text(&error))?;
    Ok(Converted { layer, chunks: image.chunks, blobs })
}

fn listed(entry: &Entry, digest: &Digest) -> Result<u64, String> {
    let blob = entry.blobs.iter().find(|blob| blob.digest == *digest);
    blob.map(|blob| blob.size).ok_or_else(|| format!("data blob {digest} is not listed"))
}
