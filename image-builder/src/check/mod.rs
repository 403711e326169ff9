//! Whether an image is what it says: structure, every digest, every chunk, the merkle root.
//!
//! What opening an image finds is an error of opening; what is left is found here, all of it and
//! not only the first:
//!
//! - [`blobs`]: each data blob read once, front to back: its digest, its tables, every chunk;
//! - [`image`]: manifest, configuration, layers;
//! - [`against`]: the tree against the ordinary image that it was made from.

pub mod against;
pub mod blobs;
pub mod image;
mod pieces;
mod tables;

use std::fmt;

use rafs::bootstrap::Report;
use rafs::{BlobId, ChunkDigest};
use tree::Path;

use crate::opened::{OpenError, Opened};

pub use against::compare_with;
pub use blobs::Progress;

/// One thing that is wrong.
#[derive(Debug)]
pub enum Problem {
    /// A blob's bytes are not those of its name.
    Blob {
        /// Which.
        blob: BlobId,
        /// What is wrong.
        why: String,
    },
    /// A chunk is not what its digest says, so these files cannot be read.
    Chunk {
        /// Which.
        chunk: ChunkDigest,
        /// Of which blob.
        blob: BlobId,
        /// What is wrong.
        why: String,
        /// Some of the files that have it.
        files: Vec<Path>,
    },
    /// Something else of the image: its manifest, its configuration, a layer.
    Image(String),
    /// The tree is not that of the ordinary image.
    Differs(crate::compare::Difference),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob { blob, why } => write!(f, "blob {blob}: {why}"),
            Self::Chunk { chunk, blob, why, files } => {
                write!(f, "chunk {chunk} of blob {blob}: {why}")?;
                match files.split_first() {
                    Some((first, [])) => write!(f, "; it is part of {first}"),
                    Some((first, more)) => {
                        write!(f, "; it is part of {first} and {} more", more.len())
                    }
                    None => Ok(()),
                }
            }
            Self::Image(why) => f.write_str(why),
            Self::Differs(difference) => write!(f, "against the other image: {difference}"),
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What the tree has.
    pub report: Report,
    /// Different chunks that were read and compared with their digests.
    pub chunks: u64,
    /// Their bytes, uncompressed.
    pub chunk_bytes: u64,
    /// Bytes of data blobs that were read and hashed.
    pub blob_bytes: u64,
    /// What is wrong; nothing if the image is what it says.
    pub problems: Vec<Problem>,
}

/// Checks an opened image, every chunk of it. `threads` compare chunks beside the one that reads.
///
/// # Errors
/// If something cannot be read; what is read and wrong is a finding.
pub fn check(
    opened: &Opened,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Findings, OpenError> {
    let mut findings = Findings { report: opened.bootstrap().check()?, ..Findings::default() };
    for number in (0..=u8::MAX).take(opened.image().blobs.len()) {
        blobs::check(opened, number, threads, progress, &mut findings)?;
    }
    name_files(opened, &mut findings.problems);
    Ok(findings)
}

/// How many files a wrong chunk is told with.
const FILES: usize = 10;

/// Says which files have the chunks that are wrong.
fn name_files(opened: &Opened, problems: &mut [Problem]) {
    let mut wrong: std::collections::HashMap<ChunkDigest, Vec<Path>> = problems
        .iter()
        .filter_map(|problem| match problem {
            Problem::Chunk { chunk, .. } => Some((*chunk, Vec::new())),
            _ => None,
        })
        .collect();
    if wrong.is_empty() {
        return;
    }
    let mut walk = opened.tree().walk();
    while let Some(visit) = walk.next() {
        let Some(content) = visit.inode.content() else { continue };
        for chunk in opened.chunks_of(content) {
            if let Some(files) = wrong.get_mut(&chunk.digest).filter(|f| f.len() < FILES)
                && files.last().is_none_or(|last| last.as_bytes() != walk.path_bytes())
            {
                files.push(walk.path());
            }
        }
    }
    for problem in problems {
        if let Problem::Chunk { chunk, files, .. } = problem {
            *files = wrong.get(chunk).cloned().unwrap_or_default();
        }
    }
}
