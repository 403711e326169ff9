//! What an image says of one file.

use std::collections::BTreeMap;

use rafs::{ChunkInfo, Content, Stored};
use serde::Serialize;
use tree::{Inode, InodeId, Kind};

use crate::opened::Opened;
use crate::text::{self, Text};

/// What an image says of one file; in JSON, `ls` and `stat` print it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stat {
    /// Where, from the root, with a `/` in front.
    pub path: Text,
    /// What it is, as a word.
    pub kind: &'static str,
    /// Permissions, four octal digits.
    pub mode: String,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// Time of last change, RFC 3339 in UTC.
    pub mtime: String,
    /// How many names it has.
    pub links: u32,
    /// A file's bytes, a directory's names, the length of a link's target; else 0.
    pub size: u64,
    /// A symbolic link's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Text>,
    /// A device's major and minor number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Extended attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Text>,
    /// Its hash in the merkle tree: of a directory, over all that is in it.
    pub hash: String,
    /// A file's chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Vec<Chunk>>,
}

/// One chunk of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Chunk {
    /// The digest of its bytes.
    pub digest: String,
    /// Its length in bytes.
    pub size: u32,
    /// The blob that it lies in.
    pub blob: String,
    /// Its number in the blob.
    pub index: u32,
    /// Where it lies there, in bytes; `None` in a batch.
    pub offset: Option<u64>,
    /// Its length there, in bytes; `None` in a batch.
    pub stored: Option<u32>,
}

impl Chunk {
    fn new(opened: &Opened, chunk: &ChunkInfo) -> Self {
        let (offset, stored) = match chunk.stored {
            Stored::Alone { offset, size, .. } => (Some(offset), Some(size)),
            Stored::Batched => (None, None),
        };
        Self {
            digest: chunk.digest.to_string(),
            size: chunk.uncompressed_size,
            blob: opened.blob(chunk.blob).map(|blob| blob.id.to_string()).unwrap_or_default(),
            index: chunk.index,
            offset,
            stored,
        }
    }
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// All but the chunks.
    Short,
    /// The chunks too.
    Chunks,
}

impl Stat {
    /// What is said of `id`, whose name is `path`, without a `/` in front.
    #[must_use]
    pub fn new(opened: &Opened, id: InodeId, path: &[u8], detail: Detail) -> Option<Self> {
        let inode = opened.tree().get(id)?;
        let meta = &inode.meta;
        let xattrs = meta
            .xattrs
            .iter()
            .map(|(name, value)| (Text(name.clone()).escaped(), Text(value.clone())));
        let chunks = |content: &Content| -> Vec<Chunk> {
            opened.chunks_of(content).map(|chunk| Chunk::new(opened, chunk)).collect()
        };
        let (target, device) = match inode.kind() {
            Kind::Symlink(target) => (Some(Text(target.to_vec())), None),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                (None, Some((device.major, device.minor)))
            }
            _ => (None, None),
        };
        Some(Self {
            path: Text([b"/", path].concat()),
            kind: text::kind(inode.kind()).1,
            mode: format!("{:04o}", meta.mode.bits()),
            uid: meta.uid,
            gid: meta.gid,
            mtime: text::time(meta.mtime),
            links: inode.links(),
            size: size(inode),
            target,
            device,
            xattrs: xattrs.collect(),
            hash: opened.hashes().get(id).map(|hash| hash.to_string()).unwrap_or_default(),
            chunks: inode.content().filter(|_| detail == Detail::Chunks).map(chunks),
        })
    }
}

/// What [`Stat::size`] says.
#[must_use]
pub fn size(inode: &Inode<Content>) -> u64 {
    match inode.kind() {
        Kind::File(content) => content.size,
        Kind::Directory(directory) => directory.len() as u64,
        Kind::Symlink(target) => target.len() as u64,
        _ => 0,
    }
}
