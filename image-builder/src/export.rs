//! One EROFS disk image that the kernel mounts, without any of us.
//!
//! ```text
//! bootstrap │ … │ blob 0, uncompressed │ … │ blob 1, uncompressed │ …
//!               ▲ where the bootstrap's device slots say that the blobs are mapped
//! ```
//!
//! The bootstrap stands as it is. Without a `device=` option, the kernel (6.4 and newer) takes
//! every device to lie in this one, at the place that its slot says; `nydus-image` exports the
//! same bytes. What no chunk has is a hole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rafs::ondisk::BLOCK;
use rafs::ondisk::superblock::{DEVICES_AT, DeviceSlot};
use rafs::{ChunkInfo, RafsError, Stored};
use zerocopy::FromBytes;

use crate::opened::{ChunkReader, OpenError, Opened};

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The image cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk image cannot be written.
    #[error("the disk image cannot be written")]
    Write(#[from] io::Error),
    /// The blobs are mapped to where the bootstrap is, or to one another's places.
    #[error("the image says that its parts lie over one another, so they do not fit on one disk")]
    Overlap,
}

/// Where the blobs lie on the disk, in bytes, and how long all of it is.
struct Disk {
    blobs: Vec<u64>,
    end: u64,
}

fn layout(opened: &Opened) -> Result<Disk, ExportError> {
    let bytes = opened.bootstrap().get_ref();
    let count = opened.image().blobs.len();
    let at = usize::try_from(DEVICES_AT).unwrap_or(usize::MAX);
    let slots = bytes
        .get(at..)
        .and_then(|rest| <[DeviceSlot]>::ref_from_prefix_with_elems(rest, count).ok());
    let (slots, _) = slots.ok_or(OpenError::Image(RafsError::OutOfBounds {
        what: "device slots",
        at: DEVICES_AT,
        length: count as u64,
        there: bytes.len() as u64,
    }))?;
    let mut disk = Disk { blobs: Vec::with_capacity(count), end: bytes.len() as u64 };
    for (slot, blob) in slots.iter().zip(&opened.image().blobs) {
        let begin = u64::from(slot.mapped_block.get()).saturating_mul(BLOCK);
        if begin < disk.end {
            return Err(ExportError::Overlap);
        }
        disk.end = begin.saturating_add(blob.uncompressed_size);
        disk.blobs.push(begin);
    }
    // The kernel reads whole blocks.
    disk.end = disk.end.next_multiple_of(BLOCK);
    Ok(disk)
}

/// How long the disk image will be, in bytes; less is used, where there are holes.
///
/// # Errors
/// If the image's parts lie over one another.
pub fn length(opened: &Opened) -> Result<u64, ExportError> {
    Ok(layout(opened)?.end)
}

/// Writes the disk image into `out`, an empty file. Each chunk is compared with its digest first.
///
/// # Errors
/// If a chunk cannot be had, or nobody takes the bytes.
pub fn block(
    opened: &Opened,
    out: &File,
    mut progress: impl FnMut(u64),
) -> Result<u64, ExportError> {
    let disk = layout(opened)?;
    out.set_len(disk.end)?;
    out.write_all_at(opened.bootstrap().get_ref(), 0)?;
    // In the order in which they lie in the blobs, so that each is read once, front to back.
    let mut chunks: Vec<&ChunkInfo> = opened.image().chunks.iter().collect();
    chunks.sort_by_key(|chunk| (chunk.blob, stored_at(chunk), chunk.index));
    let mut reader = ChunkReader::new(opened);
    for chunk in chunks {
        let read = reader.read(chunk)?;
        let blob = disk.blobs.get(usize::from(chunk.blob)).copied().unwrap_or(disk.end);
        let at = blob.saturating_add(chunk.uncompressed_offset);
        crate::zeros::write_sparse(out, at, read.bytes())?;
        progress(u64::from(chunk.uncompressed_size));
    }
    out.sync_all()?;
    Ok(disk.end)
}

/// Chunks in batches lie in the order of their numbers, and are read batch by batch.
const fn stored_at(chunk: &ChunkInfo) -> u64 {
    match chunk.stored {
        Stored::Alone { .. } => 0,
        Stored::Batched => 1,
    }
}
