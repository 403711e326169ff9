//! What an image is, in figures.

use std::collections::HashSet;

use rafs::{Blob, Stored};
use serde::Serialize;

use crate::opened::{OpenError, Opened};

/// What an image is, in figures; in JSON, `inspect` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// The format.
    pub format: &'static str,
    /// How files are cut, in bytes.
    pub chunk_size: u32,
    /// How chunks are compressed.
    pub compressor: String,
    /// What their digests are.
    pub digest: String,
    /// Bytes of the bootstrap.
    pub bootstrap: u64,
    /// The root of the merkle tree, computed.
    pub merkle_root: String,
    /// Whether the manifest says that root.
    pub merkle_root_in_manifest: bool,
    /// Whether the tree's hashes came beside the bootstrap.
    pub merkle_file: bool,
    /// Names, the root's included.
    pub names: u64,
    /// Inodes.
    pub inodes: u64,
    /// Directories among them.
    pub directories: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// Chunks of all regular files.
    pub chunks: u64,
    /// Different chunks.
    pub unique_chunks: u64,
    /// Their bytes, uncompressed.
    pub unique_bytes: u64,
    /// How many files are fetched first; `None` for all of them.
    pub prefetch: Option<u64>,
    /// The data blobs.
    pub blobs: Vec<BlobSummary>,
}

/// What an image knows of one data blob.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BlobSummary {
    /// Its digest.
    pub id: String,
    /// Bytes, as the image knows.
    pub compressed: u64,
    /// Bytes of its chunks, each rounded up to a block.
    pub uncompressed: u64,
    /// Its chunks.
    pub chunks: u32,
    /// Those that this image uses.
    pub used_chunks: u64,
    /// Among them, those that lie in batches.
    pub batched_chunks: u64,
    /// How its chunks are compressed.
    pub compressor: String,
    /// What it has, in words.
    pub features: Vec<&'static str>,
    /// Whether its chunk information came beside the bootstrap.
    pub info_beside: bool,
}

/// What the image is.
///
/// # Errors
/// If its metadata does not hold together.
pub fn summary(opened: &Opened) -> Result<Summary, OpenError> {
    let image = opened.image();
    let report = opened.bootstrap().check()?;
    let unique: HashSet<_> =
        image.chunks.iter().map(|chunk| (chunk.digest, chunk.uncompressed_size)).collect();
    let all = image.prefetch.contains(&tree::InodeId::ROOT);
    Ok(Summary {
        format: "rafs-v6",
        chunk_size: image.chunk_size.bytes(),
        compressor: image.compressor.to_string(),
        digest: image.digester.to_string(),
        bootstrap: opened.bootstrap().get_ref().len() as u64,
        merkle_root: opened.hashes().root().to_string(),
        merkle_root_in_manifest: opened.said_root().is_some(),
        merkle_file: opened.has_merkle_file(),
        names: report.names,
        inodes: report.inodes,
        directories: report.directories,
        files: report.files,
        bytes: report.bytes,
        chunks: report.chunks,
        unique_chunks: unique.len() as u64,
        unique_bytes: unique.iter().map(|(_, size)| u64::from(*size)).fold(0, u64::saturating_add),
        prefetch: (!all).then_some(image.prefetch.len() as u64),
        blobs: (0_u8..).zip(&image.blobs).map(|(number, blob)| of(opened, number, blob)).collect(),
    })
}

fn of(opened: &Opened, number: u8, blob: &Blob) -> BlobSummary {
    let mut used = 0_u64;
    let mut batched = 0_u64;
    for chunk in opened.image().chunks.iter().filter(|chunk| chunk.blob == number) {
        used = used.saturating_add(1);
        batched = batched.saturating_add(u64::from(chunk.stored == Stored::Batched));
    }
    BlobSummary {
        id: blob.id.to_string(),
        compressed: blob.compressed_size,
        uncompressed: blob.uncompressed_size,
        chunks: blob.chunks,
        used_chunks: used,
        batched_chunks: batched,
        compressor: blob.compressor.to_string(),
        features: features(blob),
        info_beside: opened.has_info_beside(blob),
    }
}

fn features(blob: &Blob) -> Vec<&'static str> {
    use rafs::ondisk::blob::features as bits;
    const WORDS: [(u32, &str); 6] = [
        (bits::CI_V2, "chunk-info-v2"),
        (bits::BATCH, "batch"),
        (bits::INLINED_BOOTSTRAP, "inline-bootstrap"),
        (bits::INLINED_DIGESTS, "inline-digests"),
        (bits::TAR_HEADERS, "tar-headers"),
        (bits::TOC, "toc"),
    ];
    WORDS.iter().filter(|(bit, _)| blob.features.has(*bit)).map(|(_, word)| *word).collect()
}
