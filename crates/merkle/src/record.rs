//! The bytes that say one inode, as they are hashed and as a proof carries them.
//!
//! ```text
//! u8   kind: 1 file, 2 directory, 3 character device, 4 block device, 5 FIFO, 6 socket,
//!            7 symbolic link (the numbers that EROFS gives file types)
//! u16  mode, 12 bits        u32 uid      u32 gid
//! i64  seconds of mtime     u32 nanoseconds
//! u32  names in the tree; if more than one: 32 bytes, the hash of the first of them as a path
//! u32  extended attributes; each: u32 length, name, u32 length, value; sorted by name
//! then for a file:       u8 digest algorithm, u32 chunk size, u64 size, 32 bytes top of chunks
//!      for a directory:  u64 entries, 32 bytes top of entries
//!      for a device:     u32 major, u32 minor
//!      for a link:       u32 length, target
//! ```
//!
//! All little-endian. Every length stands before what it counts, so no two records have the same
//! bytes.

use content::Digest;
use tree::{Device, Meta};

use crate::decode::{Cursor, DecodeError};
use crate::hash::{self, List, Tag};

/// What the chunks of a file are hashed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// BLAKE3.
    Blake3,
}

/// What a file's content is, by the digests of its chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileContent {
    pub(crate) algorithm: Algorithm,
    pub(crate) chunk_size: u32,
    pub(crate) size: u64,
    pub(crate) chunks: Digest,
}

impl FileContent {
    /// The content of `size` bytes in chunks of `chunk_size` bytes, the last of which may be
    /// short, with the digest of each chunk's bytes in order. `None` unless there are exactly as
    /// many digests as chunks.
    #[must_use]
    pub fn new(
        algorithm: Algorithm,
        chunk_size: u32,
        size: u64,
        digests: impl IntoIterator<Item = [u8; 32]>,
    ) -> Option<Self> {
        let mut list = List::default();
        let mut count = 0_u64;
        for digest in digests {
            list.push(hash::chunk(&digest));
            count = count.checked_add(1)?;
        }
        let chunks = size.checked_div(u64::from(chunk_size))?;
        let expected =
            chunks.checked_add(u64::from(!size.is_multiple_of(u64::from(chunk_size))))?;
        (count == expected).then(|| Self { algorithm, chunk_size, size, chunks: list.top() })
    }

    /// How many bytes the file has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What its chunks are hashed with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many bytes a chunk has.
    #[must_use]
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }
}

/// What an inode is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A regular file.
    File(FileContent),
    /// A directory: how many names it has, and the top of the tree over them.
    Directory {
        /// How many names.
        entries: u64,
        /// The top of the tree over them.
        top: Digest,
    },
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
}

/// All that the root says of one inode, the names aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Mode, owner, time, extended attributes.
    pub meta: Meta,
    /// How many names it has, and, if more than one, the hash of the first as a path.
    pub(crate) names: Names,
    /// What it is.
    pub what: What,
}

/// The names of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Names {
    /// One, as almost all have.
    One,
    /// More than one: how many, and the hash of the first path in walking order. It is the same
    /// for all of them and for no other inode, so it says who is linked with whom.
    Many(u32, Digest),
}

impl Names {
    pub(crate) fn new(links: u32, first: &[u8]) -> Self {
        if links > 1 { Self::Many(links, hash::tagged(Tag::Group, &[first])) } else { Self::One }
    }
}

impl Record {
    /// How many names the inode has in the tree.
    #[must_use]
    pub const fn links(&self) -> u32 {
        match self.names {
            Names::One => 1,
            Names::Many(links, _) => links,
        }
    }

    /// The inode's hash; a directory's is the root of its subtree.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        hash::tagged(Tag::Inode, &[&bytes])
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind());
        encode_meta(&self.meta, out);
        match &self.names {
            Names::One => out.extend(1_u32.to_le_bytes()),
            Names::Many(links, first) => {
                out.extend(links.to_le_bytes());
                out.extend(first.as_bytes());
            }
        }
        encode_xattrs(&self.meta, out);
        match &self.what {
            What::File(content) => {
                out.push(match content.algorithm {
                    Algorithm::Sha256 => 1,
                    Algorithm::Blake3 => 2,
                });
                out.extend(content.chunk_size.to_le_bytes());
                out.extend(content.size.to_le_bytes());
                out.extend(content.chunks.as_bytes());
            }
            What::Directory { entries, top } => {
                out.extend(entries.to_le_bytes());
                out.extend(top.as_bytes());
            }
            What::CharDevice(device) | What::BlockDevice(device) => {
                out.extend(device.major.to_le_bytes());
                out.extend(device.minor.to_le_bytes());
            }
            What::Fifo | What::Socket => {}
            What::Symlink(target) => {
                out.extend(length32(target));
                out.extend(target);
            }
        }
    }

    const fn kind(&self) -> u8 {
        match self.what {
            What::File(_) => 1,
            What::Directory { .. } => 2,
            What::CharDevice(_) => 3,
            What::BlockDevice(_) => 4,
            What::Fifo => 5,
            What::Socket => 6,
            What::Symlink(_) => 7,
        }
    }

    pub(crate) fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let kind = from.u8()?;
        let mut meta = decode_meta(from)?;
        let names = match from.u32()? {
            0 => return Err(DecodeError("an inode without a name")),
            1 => Names::One,
            links => Names::Many(links, from.digest()?),
        };
        decode_xattrs(&mut meta, from)?;
        let what = match kind {
            1 => What::File(decode_content(from)?),
            2 => What::Directory { entries: from.u64()?, top: from.digest()? },
            3 => What::CharDevice(decode_device(from)?),
            4 => What::BlockDevice(decode_device(from)?),
            5 => What::Fifo,
            6 => What::Socket,
            7 => {
                let length = from.u32()?;
                What::Symlink(from.bytes(length as usize)?.to_vec())
            }
            _ => return Err(DecodeError("a file of no known kind")),
        };
        Ok(Self { meta, names, what })
    }
}

/// A length that fits its four bytes: nothing in a tree comes near 4 GiB, and if it did, the
/// length that is hashed would still be one and the same for the same bytes.
fn length32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

pub(crate) fn encode_meta(meta: &Meta, out: &mut Vec<u8>) {
    out.extend(meta.mode.bits().to_le_bytes());
    out.extend(meta.uid.to_le_bytes());
    out.extend(meta.gid.to_le_bytes());
    out.extend(meta.mtime.seconds().to_le_bytes());
    out.extend(meta.mtime.nanoseconds().to_le_bytes());
}

pub(crate) fn decode_meta(from: &mut Cursor<'_>) -> Result<Meta, DecodeError> {
    let bits = from.u16()?;
    let mode = tree::Mode::new(bits);
    if mode.bits() != bits {
        return Err(DecodeError("a mode of more than 12 bits"));
    }
    let (uid, gid) = (from.u32()?, from.u32()?);
    let mtime = tree::Time::new(from.i64()?, from.u32()?)
        .ok_or(DecodeError("a second of too many nanoseconds"))?;
    Ok(Meta { mode, uid, gid, mtime, ..Meta::default() })
}

pub(crate) fn encode_xattrs(meta: &Meta, out: &mut Vec<u8>) {
    let count = u32::try_from(meta.xattrs.len()).unwrap_or(u32::MAX);
    out.extend(count.to_le_bytes());
    for (name, value) in &meta.xattrs {
        out.extend(length32(name));
        out.extend(name);
        out.extend(length32(value));
        out.extend(value);
    }
}

pub(crate) fn decode_xattrs(meta: &mut Meta, from: &mut Cursor<'_>) -> Result<(), DecodeError> {
    for _ in 0..from.u32()? {
        let length = from.u32()?;
        let name = from.bytes(length as usize)?;
        let length = from.u32()?;
        let value = from.bytes(length as usize)?;
        if meta.xattrs.last_key_value().is_some_and(|(last, _)| last.as_slice() >= name) {
            return Err(DecodeError("extended attributes that are not sorted"));
        }
        meta.xattrs.insert(name.to_vec(), value.to_vec());
    }
    Ok(())
}

fn decode_content(from: &mut Cursor<'_>) -> Result<FileContent, DecodeError> {
    let algorithm = match from.u8()? {
        1 => Algorithm::Sha256,
        2 => Algorithm::Blake3,
        _ => return Err(DecodeError("an unknown digest algorithm")),
    };
    let (chunk_size, size) = (from.u32()?, from.u64()?);
    Ok(FileContent { algorithm, chunk_size, size, chunks: from.digest()? })
}

fn decode_device(from: &mut Cursor<'_>) -> Result<Device, DecodeError> {
    Ok(Device { major: from.u32()?, minor: from.u32()? })
}
