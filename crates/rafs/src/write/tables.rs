//! The superblocks, the device slots and the blob table.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use crate::blob::Blob;
use crate::image::Image;
use crate::ondisk::blob::BlobEntry;
use crate::ondisk::chunk::ChunkRow;
use crate::ondisk::superblock::{
    COMPAT_RAFS_V6, DEVICE_ALIGNMENT, DEVICES_AT, DeviceSlot, EXTENDED_AT, Extended, INCOMPAT,
    MAGIC, SUPERBLOCK_AT, Superblock, flags,
};
use crate::ondisk::{BLOCK, BLOCK_BITS};

use super::error::WriteError;
use super::plan::Plan;
use super::{Map, Out};

/// Where the device slots begin, in slots.
const FIRST_SLOT: u16 = 11;
const _: () = assert!(FIRST_SLOT as u64 * size_of::<DeviceSlot>() as u64 == DEVICES_AT);

/// A number of blocks, or of something that takes at least a block.
fn narrow(number: u64) -> Result<u32, WriteError> {
    u32::try_from(number).map_err(|_| WriteError::Space)
}

pub(crate) fn superblocks(
    image: &Image,
    map: &Map,
    plan: &Plan,
    rows: usize,
    out: &mut Out,
) -> Result<(), WriteError> {
    let blobs = u16::try_from(image.blobs.len()).map_err(|_| WriteError::Space)?;
    let blocks = image.blobs.iter().map(Blob::blocks).sum();
    let root = plan.nid(tree::InodeId::ROOT).and_then(|nid| u16::try_from(nid).ok());
    let superblock = Superblock {
        magic: U32::new(MAGIC),
        feature_compat: U32::new(COMPAT_RAFS_V6),
        block_bits: BLOCK_BITS,
        root_nid: U16::new(root.ok_or(WriteError::NoSuchFile)?),
        inodes: U64::new(image.tree.len() as u64),
        blocks: U32::new(narrow(blocks)?),
        meta_block: U32::new(narrow(map.meta / BLOCK)?),
        feature_incompat: U32::new(INCOMPAT),
        devices: U16::new(blobs),
        device_slot: U16::new(FIRST_SLOT),
        ..Superblock::new_zeroed()
    };
    out.put(SUPERBLOCK_AT, superblock.as_bytes());
    let has_xattrs = if plan.has_xattrs { flags::HAS_XATTR } else { 0 };
    let digests = if image.inlined_digests { flags::INLINED_DIGESTS } else { 0 };
    let bits = image.compressor.flag()
        | image.digester.flag()
        | has_xattrs
        | digests
        | flags::EXPLICIT_OWNERS
        | flags::ENCRYPT_NONE;
    let chunk_table = (rows * size_of::<ChunkRow>()) as u64;
    let has_prefetch = !image.prefetch.is_empty();
    let extended = Extended {
        flags: U64::new(bits),
        blob_table_at: U64::new(map.blob_table),
        blob_table_size: U32::new(narrow((image.blobs.len() * size_of::<BlobEntry>()) as u64)?),
        chunk_size: U32::new(image.chunk_size.bytes()),
        chunk_table_at: U64::new(if rows > 0 { map.chunk_table } else { 0 }),
        chunk_table_size: U64::new(chunk_table),
        prefetch_at: U64::new(if has_prefetch { map.prefetch } else { 0 }),
        prefetch_size: U32::new(narrow(image.prefetch.len() as u64 * 4)?),
        ..Extended::new_zeroed()
    };
    out.put(EXTENDED_AT, extended.as_bytes());
    Ok(())
}

/// The device slots, each blob behind the one before, and the blob table.
pub(crate) fn blobs(image: &Image, map: &Map, out: &mut Out) -> Result<(), WriteError> {
    let mut free = map.end;
    for (index, blob) in (0_u32..).zip(&image.blobs) {
        let begin = free.next_multiple_of(DEVICE_ALIGNMENT);
        let slot = DeviceSlot {
            tag: blob.id.to_bytes(),
            blocks: U32::new(narrow(blob.blocks())?),
            mapped_block: U32::new(narrow(begin / BLOCK)?),
            ..DeviceSlot::new_zeroed()
        };
        let number = u64::from(index);
        out.put(DEVICES_AT + number * size_of::<DeviceSlot>() as u64, slot.as_bytes());
        let entry = blob.write(index, image.chunk_size, image.digester);
        out.put(map.blob_table + number * size_of::<BlobEntry>() as u64, entry.as_bytes());
        free = begin.saturating_add(blob.uncompressed_size);
    }
    Ok(())
}
