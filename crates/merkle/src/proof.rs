//! What shows one file or subtree to somebody who has only the root.
//!
//! ```text
//! 4 bytes  "MGP1"
//! u16      directories on the way, from the root down; each:
//!          u16 mode  u32 uid  u32 gid  i64 seconds  u32 nanoseconds  extended attributes
//!          u64 entries, u64 index of the next name among them
//!          32 bytes for each hash beside the way, bottom up: entries and index say how many
//! record   of what is at the path's end
//! ```
//!
//! The names are not in it: the path that is asked for has them.

use content::Digest;
use tree::{Meta, Path};

use crate::decode::{Cursor, DecodeError};
use crate::hash;
use crate::record::{self, Names, Record, What};

const MAGIC: &[u8; 4] = b"MGP1";

/// Shows what is at one path of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    pub(crate) levels: Vec<Level>,
    pub(crate) target: Record,
}

/// One directory on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Level {
    pub(crate) meta: Meta,
    pub(crate) entries: u64,
    pub(crate) index: u64,
    pub(crate) beside: Vec<Digest>,
}

/// What a proof shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
    /// All that the root says of the file; a regular file's content by the top of its chunks, a
    /// directory's by the top of its names.
    pub record: Record,
    /// The file's hash: what [`crate::Hashes::get`] says of it. Whoever has a tree can compare a
    /// subtree of it with this.
    pub hash: Digest,
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof is of a path of another depth.
    #[error("the proof is of another path")]
    OtherPath,
    /// A directory's entries and the hashes beside the way do not fit each other.
    #[error("the proof does not fit together")]
    Shape,
    /// The proof leads to another root: another tree, another path, or a lie.
    #[error("the proof does not lead to the root")]
    OtherRoot,
}

impl Proof {
    /// What the proof shows to be at `path` in the tree of `root`.
    ///
    /// # Errors
    /// If it does not show anything about that.
    pub fn verify(&self, root: Digest, path: &Path) -> Result<Proven, ProofError> {
        let names: Vec<&[u8]> = path.names().collect();
        if names.len() != self.levels.len() {
            return Err(ProofError::OtherPath);
        }
        let hash = self.target.hash();
        let mut at = hash;
        for (level, name) in self.levels.iter().zip(names).rev() {
            let leaf = hash::entry(name, &at);
            let top = hash::top_from(leaf, level.index, level.entries, &level.beside)
                .ok_or(ProofError::Shape)?;
            let what = What::Directory { entries: level.entries, top };
            at = Record { meta: level.meta.clone(), names: Names::One, what }.hash();
        }
        if hash::root(&at) != root {
            return Err(ProofError::OtherRoot);
        }
        Ok(Proven { record: self.target.clone(), hash })
    }

    /// The proof as a file has it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(u16::try_from(self.levels.len()).unwrap_or(u16::MAX).to_le_bytes());
        for level in &self.levels {
            record::encode_meta(&level.meta, &mut out);
            record::encode_xattrs(&level.meta, &mut out);
            out.extend(level.entries.to_le_bytes());
            out.extend(level.index.to_le_bytes());
            level.beside.iter().for_each(|hash| out.extend(hash.as_bytes()));
        }
        self.target.encode(&mut out);
        out
    }

    /// A proof from a file. It shows nothing before it is verified.
    ///
    /// # Errors
    /// If the bytes are not exactly one proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Cursor::new(bytes);
        if from.bytes(MAGIC.len())? != MAGIC {
            return Err(DecodeError("no proof of this version"));
        }
        let mut levels = Vec::new();
        for _ in 0..from.u16()? {
            levels.push(Level::decode(&mut from)?);
        }
        let target = Record::decode(&mut from)?;
        from.end()?;
        Ok(Self { levels, target })
    }
}

impl Level {
    fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let mut meta = record::decode_meta(from)?;
        record::decode_xattrs(&mut meta, from)?;
        let (entries, index) = (from.u64()?, from.u64()?);
        // At most 64, whatever the numbers say.
        let count = hash::siblings_of(index, entries)
            .ok_or(DecodeError("a directory without the entry that it should have"))?;
        let beside = (0..count).map(|_| from.digest()).collect::<Result<_, _>>()?;
        Ok(Self { meta, entries, index, beside })
    }
}
