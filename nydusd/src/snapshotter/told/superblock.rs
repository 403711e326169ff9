//! What an image's metadata says of itself, in nydusd's words: its superblocks' numbers. What only
//! RAFS v5 has is 0.

use std::time::Duration;

use rafs::Bootstrap;
use rafs::ondisk::superblock::{DEVICES_AT, Extended, Superblock};
use serde_json::{Value, json};

use crate::fuse::FOREVER;

/// What nydusd calls the format's version.
const VERSION: u32 = 0x600;

/// The numbers; `None` if the superblocks cannot be read, which a mounted image's can.
#[must_use]
pub fn superblock<B: AsRef<[u8]>>(bootstrap: &Bootstrap<B>) -> Option<Value> {
    let (plain, extended) = bootstrap.superblocks().ok()?;
    let kept = |time: Duration| json!({ "secs": time.as_secs(), "nanos": time.subsec_nanos() });
    let root = plain.root_nid.get();
    Some(json!({
        "magic": plain.magic.get(),
        "version": VERSION,
        "sb_size": size_of::<Superblock>() + size_of::<Extended>(),
        "root_inode": root,
        "chunk_size": extended.chunk_size.get(),
        "batch_size": 0,
        "inodes_count": plain.inodes.get(),
        "flags": { "bits": extended.flags.get() },
        "inode_table_entries": 0,
        "inode_table_offset": 0,
        "blob_table_size": extended.blob_table_size.get(),
        "blob_table_offset": extended.blob_table_at.get(),
        "extended_blob_table_offset": 0,
        "extended_blob_table_entries": 0,
        "blob_device_table_count": plain.devices.get(),
        "blob_device_table_offset": DEVICES_AT,
        "prefetch_table_offset": extended.prefetch_at.get(),
        // Of four bytes each.
        "prefetch_table_entries": extended.prefetch_size.get() / 4,
        "attr_timeout": kept(FOREVER),
        "entry_timeout": kept(FOREVER),
        "is_chunk_dict": false,
        "meta_blkaddr": plain.meta_block.get(),
        "root_nid": root,
        "chunk_table_offset": extended.chunk_table_at.get(),
        "chunk_table_size": extended.chunk_table_size.get(),
    }))
}
