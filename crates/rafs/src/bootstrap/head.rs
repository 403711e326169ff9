//! The superblocks and the tables that they point at.

use crate::algorithm::{ChunkSize, Compressor, Digester};
use crate::blob::Blob;
use crate::error::{RafsError, Unsupported};
use crate::ondisk::blob::BlobEntry;
use crate::ondisk::superblock::{
    COMPAT_RAFS_V6, DEVICES_AT, DeviceSlot, EXTENDED_AT, Extended, INCOMPAT, MAGIC, MAGIC_V5,
    SUPERBLOCK_AT, Superblock, flags,
};
use crate::ondisk::{BLOCK, BLOCK_BITS, MAX_BLOBS, MAX_BOOTSTRAP};
use crate::slice::{read, read_all};
use zerocopy::byteorder::little_endian::U32;

/// What the superblocks say, checked.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The root's nid.
    pub(crate) root: u64,
    /// How many inodes, or names, there should be.
    pub(crate) inodes: u64,
    /// The time of inodes that have none, in seconds.
    pub(crate) build_time: (u64, u32),
    /// Where nid 0 would lie.
    pub(crate) meta_at: u64,
    /// The flags of the extended superblock.
    pub(crate) flags: u64,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) compressor: Compressor,
    pub(crate) digester: Digester,
    pub(crate) blobs: Vec<Blob>,
    /// Where the chunk table lies: offset and length.
    pub(crate) chunk_table: (u64, u64),
    /// Where the prefetch table lies: offset and length.
    pub(crate) prefetch: (u64, u64),
}

impl Head {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RafsError> {
        if bytes.len() as u64 > MAX_BOOTSTRAP {
            return Err(RafsError::NotRafs("it is longer than a bootstrap can be"));
        }
        let superblock: &Superblock = read(bytes, SUPERBLOCK_AT, "superblock")?;
        check_superblock(superblock, bytes)?;
        let extended: &Extended = read(bytes, EXTENDED_AT, "extended superblock")?;
        let bits = extended.flags.get();
        check_flags(bits)?;
        let chunk_size = ChunkSize::new(extended.chunk_size.get()).ok_or_else(|| {
            RafsError::corrupt("extended superblock", EXTENDED_AT, "there is no such chunk size")
        })?;
        let digester = Digester::of_flags(bits, EXTENDED_AT)?;
        let blobs = read_blobs(bytes, superblock, extended, chunk_size, digester)?;
        Ok(Self {
            root: u64::from(superblock.root_nid.get()),
            inodes: superblock.inodes.get(),
            build_time: (superblock.build_time.get(), superblock.build_time_nsec.get()),
            meta_at: u64::from(superblock.meta_block.get()) * BLOCK,
            flags: bits,
            chunk_size,
            compressor: Compressor::of_flags(bits, EXTENDED_AT)?,
            digester,
            blobs,
            chunk_table: chunk_table(extended)?,
            prefetch: prefetch(bytes, extended)?,
        })
    }
}

fn check_superblock(superblock: &Superblock, bytes: &[u8]) -> Result<(), RafsError> {
    if superblock.magic.get() != MAGIC {
        let v5 = read::<U32>(bytes, 0, "superblock")?.get() == MAGIC_V5;
        return Err(if v5 {
            RafsError::Unsupported(Unsupported::Version5)
        } else {
            RafsError::NotRafs("it has no superblock of EROFS")
        });
    }
    if superblock.feature_compat.get() & COMPAT_RAFS_V6 == 0 {
        return Err(RafsError::NotRafs("it is another EROFS image"));
    }
    if superblock.block_bits != BLOCK_BITS {
        return Err(RafsError::Unsupported(Unsupported::BlockSize));
    }
    if superblock.feature_incompat.get() != INCOMPAT || superblock.compression.get() != 0 {
        return Err(RafsError::Unsupported(Unsupported::Feature));
    }
    if superblock.xattr_block.get() != 0 {
        return Err(RafsError::Unsupported(Unsupported::SharedXattrs));
    }
    let bad = |why| Err(RafsError::corrupt("superblock", SUPERBLOCK_AT, why));
    if superblock.checksum.get() != 0 {
        return bad("it has a checksum that no feature announces");
    }
    if superblock.extension_slots != 0 {
        return bad("it is longer than it can be");
    }
    if u64::from(superblock.device_slot.get()) * size_of::<DeviceSlot>() as u64 != DEVICES_AT {
        return bad("the devices lie elsewhere");
    }
    if superblock.inodes.get() == 0 {
        return bad("there are no inodes");
    }
    Ok(())
}

fn check_flags(bits: u64) -> Result<(), RafsError> {
    if bits & !flags::ALL != 0 {
        return Err(RafsError::Unsupported(Unsupported::Feature));
    }
    if bits & flags::TARFS != 0 {
        return Err(RafsError::Unsupported(Unsupported::Tarfs));
    }
    if bits & flags::ENCRYPT_AES_128_XTS != 0 {
        return Err(RafsError::Unsupported(Unsupported::Encrypted));
    }
    Ok(())
}

fn read_blobs(
    bytes: &[u8],
    superblock: &Superblock,
    extended: &Extended,
    chunk_size: ChunkSize,
    digester: Digester,
) -> Result<Vec<Blob>, RafsError> {
    let at = extended.blob_table_at.get();
    let size = u64::from(extended.blob_table_size.get());
    let bad = |why| RafsError::corrupt("blob table", at, why);
    let devices = usize::from(superblock.devices.get());
    if size == 0 && devices == 0 {
        return Ok(Vec::new());
    }
    let entries: &[BlobEntry] = read_all(bytes, at, size, "blob table")?;
    if entries.len() != devices || devices > MAX_BLOBS {
        return Err(bad("there are not as many blobs as devices, or too many"));
    }
    let slots = (devices * size_of::<DeviceSlot>()) as u64;
    if !at.is_multiple_of(BLOCK) || at < DEVICES_AT + slots {
        return Err(bad("it cannot lie there"));
    }
    let mut blobs = Vec::with_capacity(entries.len());
    for (index, (entry, at)) in
        (0..).zip(entries.iter().zip((at..).step_by(size_of::<BlobEntry>())))
    {
        blobs.push(Blob::read(entry, at, index, chunk_size, digester)?);
    }
    Ok(blobs)
}

fn chunk_table(extended: &Extended) -> Result<(u64, u64), RafsError> {
    let (at, size) = (extended.chunk_table_at.get(), extended.chunk_table_size.get());
    if size > 0 && (!at.is_multiple_of(BLOCK) || at == 0) {
        return Err(RafsError::corrupt("chunk table", at, "it cannot lie there"));
    }
    Ok((at, size))
}

/// Old images without files have a length here and no offset: that is no table.
fn prefetch(bytes: &[u8], extended: &Extended) -> Result<(u64, u64), RafsError> {
    let (at, size) = (extended.prefetch_at.get(), u64::from(extended.prefetch_size.get()));
    if size == 0 || at == 0 {
        return Ok((0, 0));
    }
    read_all::<U32>(bytes, at, size, "prefetch table").map(|_| (at, size))
}
