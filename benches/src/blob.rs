//! Large blobs, made once and kept in `target/bench/data`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use content::{BlobHasher, Digest};

/// A blob in a file.
#[derive(Clone, Debug)]
pub struct BlobFile {
    path: PathBuf,
    digest: Digest,
    length: u64,
}

impl BlobFile {
    /// A blob of `length` bytes that do not compress; the same ones for the same `seed` and length.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn of(length: u64, seed: u64) -> anyhow::Result<Self> {
        let folder = crate::folder()?.join("data");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{length}-{seed}"));
        let named = folder.join(format!("{length}-{seed}.digest"));
        let known = std::fs::read_to_string(&named).ok().and_then(|text| text.parse().ok());
        let here = path.metadata().is_ok_and(|file| file.len() == length);
        if let (Some(digest), true) = (known, here) {
            return Ok(Self { path, digest, length });
        }
        eprintln!("making a blob of {length} bytes");
        let digest = make(&path, length, seed).context("a blob could not be made")?;
        std::fs::write(&named, digest.to_string())?;
        Ok(Self { path, digest, length })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its SHA-256.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

fn make(path: &Path, length: u64, seed: u64) -> anyhow::Result<Digest> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut hasher = BlobHasher::new();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut block = vec![0_u8; 64 << 10];
    let mut left = length;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            // xorshift64: quick, and nothing compresses it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let part = &block[..usize::try_from(left).unwrap_or(usize::MAX).min(block.len())];
        hasher.update(part);
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    file.flush()?;
    Ok(hasher.finish())
}
