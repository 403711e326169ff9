//! Bootstraps of single layers become one.
//!
//! What a layer does to those under it, its bootstrap says with files ([`crate::layer_tree`]).

use content::Digest;
use rafs::section::{SectionName, Toc};
use rafs::{BlobId, Bootstrap, Image, RafsError};
use tree::LayerError;

use crate::convert::{ConvertError, Cut, Part, assemble};
use crate::layer_tree::layer_of;

/// Why bootstraps do not become one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One is none.
    #[error("{name}: {error}")]
    Read {
        /// Which.
        name: String,
        /// Why.
        error: RafsError,
    },
    /// It lies in its data blob, and nobody says which.
    #[error("{0} does not name its data blob: name the file by the blob's 64 hexadecimal digits")]
    NoName(String),
    /// A data blob without a bootstrap.
    #[error("{0} is a data blob without a bootstrap in it")]
    NoBootstrap(String),
    /// Layers that were made in different ways.
    #[error("{name} has another chunk size, compressor or digest than the layers before it")]
    Differs {
        /// Which.
        name: String,
    },
    /// A layer says what it cannot.
    #[error("{name}: {error}")]
    Layer {
        /// Which.
        name: String,
        /// Why.
        error: LayerError,
    },
    /// They do not fit each other.
    #[error(transparent)]
    Assemble(#[from] ConvertError),
    /// There are none.
    #[error("there is nothing to merge")]
    Nothing,
}

/// A layer's bootstrap, or the data blob in which it lies.
#[derive(Debug)]
pub struct Source {
    /// The file's name, without its folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The image of these layers, the lowest first.
///
/// # Errors
/// If one is no bootstrap, or they do not fit each other.
pub fn merge(sources: Vec<Source>) -> Result<Image, MergeError> {
    let mut cut: Option<Cut> = None;
    let mut parts = Vec::new();
    for source in sources {
        let name = source.name.clone();
        let digest = Digest::of(name.as_bytes());
        let image = open(source)?;
        let Image { chunk_size, compressor, digester, inlined_digests, .. } = image;
        let mut here = Cut { chunk_size, compressor, digester, inlined_digests };
        if let Some(before) = cut {
            here.inlined_digests &= before.inlined_digests;
            let same = (before.chunk_size, before.compressor, before.digester)
                == (chunk_size, compressor, digester);
            if !same {
                return Err(MergeError::Differs { name });
            }
        }
        cut = Some(here);
        let layer = layer_of(&image.tree).map_err(|error| MergeError::Layer { name, error })?;
        parts.push(Part { digest, layer, chunks: image.chunks, blobs: image.blobs });
    }
    Ok(assemble(parts, cut.ok_or(MergeError::Nothing)?, &[])?.image)
}

/// The image that a source has, with every blob named.
fn open(source: Source) -> Result<Image, MergeError> {
    let Source { name, bytes } = source;
    let failed = |error| MergeError::Read { name: name.clone(), error };
    let (bootstrap, own) = match Toc::read(&bytes, bytes.len() as u64) {
        Ok((toc, _)) => {
            let missing = || MergeError::NoBootstrap(name.clone());
            let entry = toc.get(SectionName::Bootstrap).ok_or_else(missing)?;
            let begin = usize::try_from(entry.section.offset).unwrap_or(usize::MAX);
            let length = usize::try_from(entry.section.size).unwrap_or(usize::MAX);
            let stored = bytes.get(begin..begin.saturating_add(length)).unwrap_or_default();
            (entry.open(stored).map_err(failed)?, Some(Digest::of(&bytes)))
        }
        Err(_) => (bytes, format!("sha256:{name}").parse().ok()),
    };
    let mut image = Bootstrap::parse(bootstrap).and_then(|it| it.image()).map_err(failed)?;
    for blob in &mut image.blobs {
        if blob.id == BlobId::Inline {
            let own = own.ok_or_else(|| MergeError::NoName(name.clone()))?;
            blob.id = BlobId::Digest(own);
        }
    }
    Ok(image)
}
