//! A folder becomes a chunked image of one layer.
//!
//! It goes through the same pipe as a layer: its tar is written by one thread and read by the
//! next, and never lies anywhere. A file `.wh.NAME` is a whiteout, as it is in layers.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::Path;

use content::Digest;
use serde_json::json;

use crate::convert::{ConvertError, Options, Packing, Progress, Report};
use crate::folder;
use crate::oci::Platform;
use crate::store::Store;

/// Packs `folder` into an image for `platform` at `target`.
///
/// # Errors
/// If the folder cannot be read, has what no image can have, or the target does not take it.
pub fn pack(
    folder: &Path,
    target: &dyn Store,
    platform: &Platform,
    options: &Options,
    progress: &Progress,
) -> Result<Report, ConvertError> {
    let mut config = json!({
        "architecture": platform.architecture, "os": platform.os, "config": {},
    });
    if let (Some(variant), Some(config)) = (&platform.variant, config.as_object_mut()) {
        config.insert("variant".to_owned(), variant.clone().into());
    }
    let failed = |error| ConvertError::Folder { folder: folder.to_owned(), error };
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let packing = Packing::new(target, options, progress);
    let (written, packed) = std::thread::scope(|scope| {
        let writing =
            scope.spawn(|| folder::write_tar(folder, BufWriter::with_capacity(64 << 10, writer)));
        let packed = packing.layer(reader, Digest::of(folder.as_os_str().as_encoded_bytes()));
        (writing.join(), packed)
    });
    // If the folder cannot be read, the tar that comes of it is cut off: the cause is told.
    match (written, &packed) {
        (Ok(Err(error)), _) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(failed(error));
        }
        (Err(_), _) => return Err(ConvertError::Thread),
        _ => {}
    }
    packing.finish(packed?, &config.to_string(), &BTreeMap::new(), platform)
}
