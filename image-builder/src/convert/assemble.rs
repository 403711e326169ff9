//! Layers upon each other: one tree, one list of chunks, the blobs that they lie in.

use content::Digest;
use rafs::{Blob, ChunkId, ChunkInfo, ChunkSize, Compressor, Content, Digester, Image};
use tree::{InodeId, Layer, Path, Tree};

use super::blob::DataBlob;
use super::error::ConvertError;
use super::options::Format;

/// An image that was put together.
#[derive(Debug)]
pub(crate) struct Assembled<B> {
    pub(crate) image: Image,
    /// The blobs that it needs, by their number.
    pub(crate) blobs: Vec<B>,
}

/// A layer with what its files are made of.
#[derive(Debug)]
pub(crate) struct Part<B> {
    /// What errors call it.
    pub(crate) digest: Digest,
    /// Files name chunks by their place in the next list.
    pub(crate) layer: Layer<Content>,
    /// Each in a blob of the list after it, by its place there.
    pub(crate) chunks: Vec<ChunkInfo>,
    pub(crate) blobs: Vec<B>,
}

/// What an image knows of a blob, and whether two are the same.
pub(crate) trait HasBlob {
    fn blob(&self) -> &Blob;
}

impl HasBlob for DataBlob {
    fn blob(&self) -> &Blob {
        &self.blob
    }
}

impl HasBlob for Blob {
    fn blob(&self) -> &Blob {
        self
    }
}

/// How an image is cut and stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) chunk_size: ChunkSize,
    pub(crate) compressor: Compressor,
    pub(crate) digester: Digester,
    pub(crate) inlined_digests: bool,
}

impl From<Format> for Cut {
    fn from(format: Format) -> Self {
        let Format { chunk_size, compressor, digester, .. } = format;
        Self { chunk_size, compressor, digester, inlined_digests: true }
    }
}

/// Puts layers upon each other, the lowest first.
///
/// `prefetch` says what is to be fetched first. Of chunks with one digest the lowest counts. Blobs of which no file needs a chunk are left out.
pub(crate) fn assemble<B: HasBlob>(
    parts: impl IntoIterator<Item = Part<B>>,
    cut: Cut,
    prefetch: &[Path],
) -> Result<Assembled<B>, ConvertError> {
    let mut all = All { chunks: Vec::new(), blob_of: Vec::new(), blobs: Vec::new() };
    let mut tree = Tree::default();
    for Part { digest, layer, chunks, blobs } in parts {
        let first = all.add(chunks, blobs)?;
        let layer = layer.try_map(|_, content| moved(content, first))?;
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
    let prefetch = find(&tree, prefetch)?;
    let image = Image {
        tree,
        blobs: all.blobs.iter().map(|blob| blob.blob().clone()).collect(),
        chunks: all.chunks,
        chunk_size: cut.chunk_size,
        compressor: cut.compressor,
        digester: cut.digester,
        inlined_digests: cut.inlined_digests,
        prefetch,
    };
    Ok(Assembled { image, blobs: all.blobs })
}

/// The files at these paths; without any the root, which means everything.
fn find(tree: &Tree<Content>, paths: &[Path]) -> Result<Vec<InodeId>, ConvertError> {
    if paths.is_empty() {
        return Ok(vec![InodeId::ROOT]);
    }
    let find = |path: &Path| tree.lookup(path).ok_or_else(|| ConvertError::Prefetch(path.clone()));
    paths.iter().map(find).collect()
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
#[derive(Debug)]
struct All<B> {
    chunks: Vec<ChunkInfo>,
    /// The place of each chunk's blob in the next list.
    blob_of: Vec<u16>,
    blobs: Vec<B>,
}

impl<B: HasBlob> All<B> {
    /// Adds a layer's; the number that its first chunk has now.
    fn add(&mut self, chunks: Vec<ChunkInfo>, blobs: Vec<B>) -> Result<u32, ConvertError> {
        let first = u32::try_from(self.chunks.len()).map_err(|_| too_many())?;
        let mut places = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let same = |other: &B| other.blob().id == blob.blob().id;
            let place = self.blobs.iter().position(same).unwrap_or(self.blobs.len());
            if place == self.blobs.len() {
                self.blobs.push(blob);
            }
            places.push(u16::try_from(place).map_err(|_| too_many())?);
        }
        self.blob_of.reserve(chunks.len());
        for chunk in &chunks {
            let place = places.get(usize::from(chunk.blob)).copied();
            self.blob_of.push(place.ok_or(ConvertError::Thread)?);
        }
        if self.chunks.is_empty() {
            self.chunks = chunks
        } else {
            self.chunks.extend(chunks)
        }
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
