//! Proofs of single files and subtrees against an image's merkle root, and their check.

use std::io::{self, Read};

use content::Digest;
use merkle::{Algorithm, FileContent, Proof, ProofError, Proven, What};
use rafs::Digester;
use tree::Path;

use crate::opened::{OpenError, Opened};

/// Why nothing is proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// There is nothing at the path, as it stands: symbolic links are not followed.
    #[error("{0}: there is no such file in the image (symbolic links are not followed)")]
    NoSuchFile(Path),
    /// The image does not hold together.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The hashes are not the tree's.
    #[error("the image's hashes are not its tree's")]
    OtherTree,
}

/// The proof of what is at `path`.
///
/// # Errors
/// If there is nothing.
pub fn prove(opened: &Opened, path: &Path) -> Result<Proof, ProveError> {
    let proof = merkle::prove(opened.tree(), opened.hashes(), path, |c| opened.describe(c));
    proof.map_err(|error| match error {
        merkle::ProveError::NoSuchFile(path) => ProveError::NoSuchFile(path),
        merkle::ProveError::Content(error) => ProveError::Open(error),
        merkle::ProveError::OtherTree => ProveError::OtherTree,
    })
}

/// Why a file is not the one that was proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file with the proof is none.
    #[error(transparent)]
    Decode(#[from] merkle::DecodeError),
    /// The proof does not show it.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The proof is of something that has no bytes.
    #[error("what is proven is no regular file, so there are no bytes to compare")]
    NoFile,
    /// The bytes are others.
    #[error("the file's bytes are not those that the proof is of")]
    OtherBytes,
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
}

/// What `proof` shows to be at `path` in the image with this root.
///
/// # Errors
/// If it does not show that.
pub fn verify(root: Digest, path: &Path, proof: &[u8]) -> Result<Proven, VerifyError> {
    Ok(Proof::from_bytes(proof)?.verify(root, path)?)
}

/// Whether `bytes` are the content of the file that was proven.
///
/// # Errors
/// If they are not, or cannot be read.
pub fn verify_bytes(proven: &Proven, bytes: &mut dyn Read) -> Result<(), VerifyError> {
    let What::File(expected) = proven.record.what else { return Err(VerifyError::NoFile) };
    let digester = match expected.algorithm() {
        Algorithm::Sha256 => Digester::Sha256,
        Algorithm::Blake3 => Digester::Blake3,
    };
    let mut digests = Vec::new();
    let mut size = 0_u64;
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        let step = u64::from(expected.chunk_size());
        let read = bytes.take(step).read_to_end(&mut chunk)? as u64;
        size = size.saturating_add(read);
        // More than was proven need not be read.
        if read == 0 || size > expected.size() {
            break;
        }
        digests.push(digester.digest(&chunk).0);
    }
    let found = FileContent::new(expected.algorithm(), expected.chunk_size(), size, digests);
    if found == Some(expected) { Ok(()) } else { Err(VerifyError::OtherBytes) }
}
