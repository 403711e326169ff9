//! A dictionary: a chunked image whose chunks need not be stored again.
//!
//! A chunk that it has is named where it lies there. The blob becomes one of the new image's, too:
//! listed in its manifest and mounted into its repository, so that the registry keeps it as long
//! as either image is there. A bootstrap has one chunk size, one digest and one compressor, so the
//! dictionary must have been made with the same ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use content::Digest;
use rafs::{BlobId, ChunkDigest, ChunkInfo};

use super::blob::{DataBlob, Lies};
use super::error::ConvertError;
use super::options::Format;
use crate::opened::store::Chunked;
use crate::store::Store;

/// Chunks that are there already.
#[derive(Clone, Debug)]
pub struct Dictionary {
    /// The image's manifest: what is made with another dictionary is something else.
    pub(crate) digest: Digest,
    /// Each chunk's place in the next list.
    rows: HashMap<ChunkDigest, u32>,
    chunks: Vec<ChunkInfo>,
    /// By their number in [`ChunkInfo::blob`].
    pub(crate) blobs: Vec<DataBlob>,
    /// Whether each of its blobs has a section of its chunks' digests.
    pub(crate) inlined_digests: bool,
}

impl Dictionary {
    /// The chunks of an image, for others that are made in this format.
    ///
    /// # Errors
    /// If it was made in another one, or does not say where its data lies.
    pub fn new(of: &Chunked, format: Format) -> Result<Self, ConvertError> {
        let image = of.opened.image();
        if let Some((what, there, here)) = difference(image, format) {
            return Err(ConvertError::Dictionary { what, there, here });
        }
        let chunks = image.chunks.clone();
        let rows = (0..).zip(&chunks).map(|(row, chunk)| (chunk.digest, row)).collect();
        let lengths = of.manifest().map(|manifest| {
            manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect()
        });
        let lengths: BTreeMap<Digest, u64> = lengths.unwrap_or_default();
        let blobs = image.blobs.iter().map(|blob| {
            let BlobId::Digest(digest) = blob.id else {
                return Err(ConvertError::NoData("it lies with the bootstrap".to_owned()));
            };
            let length = length_of(&lengths, &*of.store, &digest)?;
            let meta_file = of.opened.info_file(&digest).cloned();
            let lies = Lies::In(Arc::clone(&of.store));
            Ok(DataBlob { blob: blob.clone(), digest, length, meta_file, lies })
        });
        let blobs = blobs.collect::<Result<_, _>>()?;
        let digest = of.document.descriptor.digest;
        Ok(Self { digest, rows, chunks, blobs, inlined_digests: image.inlined_digests })
    }

    /// The chunk with this digest, if it is there.
    pub(crate) fn find(&self, digest: &ChunkDigest) -> Option<&ChunkInfo> {
        let row = self.rows.get(digest)?;
        self.chunks.get(*row as usize)
    }
}

/// How long a blob is that an image names: as its manifest says, or as the place does.
pub(crate) fn length_of(
    said: &BTreeMap<Digest, u64>,
    store: &dyn Store,
    digest: &Digest,
) -> Result<u64, ConvertError> {
    if let Some(length) = said.get(digest) {
        return Ok(*length);
    }
    let missing = || ConvertError::NoData(format!("{digest} is not in {}", store.place()));
    store.blob_length(digest, None)?.ok_or_else(missing)
}

/// What differs, how it is there, and how it is to be here.
fn difference(image: &rafs::Image, format: Format) -> Option<(&'static str, String, String)> {
    let Format { chunk_size, compressor, digester, .. } = format;
    let pairs = [
        ("--chunk-size", image.chunk_size.bytes().to_string(), chunk_size.bytes().to_string()),
        ("--compressor", image.compressor.to_string(), compressor.to_string()),
        ("--digester", image.digester.to_string(), digester.to_string()),
    ];
    pairs.into_iter().find(|(_, there, here)| there != here)
}
