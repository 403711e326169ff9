//! Layers upon each other: one tree, one list of chunks, the blobs that they lie in.

use rafs::{ChunkId, ChunkInfo, Content, Image};
use tree::{InodeId, Tree};

use super::error::ConvertError;
use super::layer::{Converted, DataBlob};
use super::options::Format;
use content::Digest;

/// An image that was put together.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) image: Image,
    /// The blobs that it needs, by their number.
    pub(crate) blobs: Vec<DataBlob>,
}

/// Puts layers upon each other, the lowest first.
///
/// Of chunks with one digest the lowest counts. Blobs of which no file needs a chunk are left out.
pub(crate) fn assemble(
    layers: Vec<(Digest, Converted)>,
    format: Format,
) -> Result<Assembled, ConvertError> {
    let mut all = All::default();
    let mut tree = Tree::default();
    for (digest, converted) in layers {
        let first = all.add(converted.blob)?;
        let layer = converted.layer.try_map(|_, content| moved(content, first))?;
        tree = tree::stack(tree, layer).map_err(|error| ConvertError::Stack { digest, error })?;
    }
    let lowest = all.lowest();
    let tree = tree.try_map(|_, mut content| {
        for chunk in &mut content.chunks {
            *chunk = lowest.get(chunk.0 as usize).copied().ok_or(ConvertError::Thread)?;
        }
        Ok::<_, ConvertError>(content)
    })?;
    all.keep_used(&tree)?;
    let image = Image {
        tree,
        blobs: all.blobs.iter().map(|blob| blob.finished.blob.clone()).collect(),
        chunks: all.chunks,
        chunk_size: format.chunk_size,
        compressor: format.compressor,
        digester: format.digester,
        inlined_digests: true,
        // The root alone: everything, in the order of the blobs.
        prefetch: vec![InodeId::ROOT],
    };
    Ok(Assembled { image, blobs: all.blobs })
}

/// The content with its chunks' numbers in the image's list.
fn moved(mut content: Content, first: u32) -> Result<Content, ConvertError> {
    for chunk in &mut content.chunks {
        chunk.0 = chunk.0.checked_add(first).ok_or_else(too_many)?;
    }
    Ok(content)
}

const fn too_many() -> ConvertError {
    ConvertError::Chunking(super::error::ChunkingError::TooMany)
}

/// All chunks and blobs.
#[derive(Debug, Default)]
struct All {
    chunks: Vec<ChunkInfo>,
    /// The place of each chunk's blob in the next list.
    blob_of: Vec<u16>,
    blobs: Vec<DataBlob>,
}

impl All {
    /// Adds a layer's; the number that its first chunk has now.
    fn add(&mut self, blob: Option<DataBlob>) -> Result<u32, ConvertError> {
        let first = u32::try_from(self.chunks.len()).map_err(|_| too_many())?;
        let Some(mut blob) = blob else { return Ok(first) };
        let number = u16::try_from(self.blobs.len()).map_err(|_| too_many())?;
        let chunks = std::mem::take(&mut blob.finished.chunks);
        self.blob_of.resize(self.blob_of.len().saturating_add(chunks.len()), number);
        self.chunks.extend(chunks);
        self.blobs.push(blob);
        Ok(first)
    }

    /// For each chunk the first one with its digest.
    fn lowest(&self) -> Vec<ChunkId> {
        let mut sorted: Vec<u32> = (0..).take(self.chunks.len()).collect();
        let digest = |number: &u32| self.chunks.get(*number as usize).map(|chunk| chunk.digest);
        sorted.sort_unstable_by_key(|number| (digest(number), *number));
        let mut lowest: Vec<ChunkId> = (0..).map(ChunkId).take(self.chunks.len()).collect();
        for same in sorted.chunk_by(|a, b| digest(a) == digest(b)) {
            let Some(first) = same.first() else { continue };
            for number in same {
                if let Some(place) = lowest.get_mut(*number as usize) {
                    *place = ChunkId(*first);
                }
            }
        }
        lowest
    }

    /// Drops the blobs that no file needs, and numbers the others.
    fn keep_used(&mut self, tree: &Tree<Content>) -> Result<(), ConvertError> {
        let mut used = vec![false; self.blobs.len()];
        let contents = tree.inodes().filter_map(|(_, inode)| inode.content());
        for chunk in contents.flat_map(|content| &content.chunks) {
            let blob = self.blob_of.get(chunk.0 as usize).map(|blob| usize::from(*blob));
            if let Some(used) = blob.and_then(|blob| used.get_mut(blob)) {
                *used = true;
            }
        }
        let mut numbers = Vec::with_capacity(used.len());
        let mut next = 0_usize;
        for used in &used {
            numbers.push(next);
            next = next.saturating_add(usize::from(*used));
        }
        let mut keep = used.iter();
        self.blobs.retain(|_| keep.next() == Some(&true));
        for (chunk, blob) in self.chunks.iter_mut().zip(&self.blob_of) {
            let blob = usize::from(*blob);
            if used.get(blob) == Some(&true) {
                let number = numbers.get(blob).and_then(|number| u8::try_from(*number).ok());
                let blobs = self.blobs.len();
                chunk.blob = number.ok_or(rafs::WriteError::Blobs(blobs))?;
            }
        }
        Ok(())
    }
}
