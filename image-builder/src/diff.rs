//! Two chunked images: what differs, by subtree root, and what somebody who has the first must
//! still fetch for the second.

use std::collections::{BTreeMap, HashSet};

use rafs::ci::Location;
use rafs::{BlobId, ChunkDigest, Content, Stored};
use tree::InodeId;

use crate::compare::{Difference, Judge, compare};
use crate::opened::{OpenError, Opened};

/// What of one blob must be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobFetch {
    /// Which.
    pub blob: BlobId,
    /// How many of its chunks.
    pub chunks: u64,
    /// How many bytes that is in the blob: batches are fetched whole.
    pub stored: u64,
    /// How many bytes the chunks are, uncompressed.
    pub bytes: u64,
}

/// What must be fetched for the second image by one who has the first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Fetch {
    /// By blob; those of which nothing is needed are not told.
    pub blobs: Vec<BlobFetch>,
    /// Different chunks of the second image.
    pub all_chunks: u64,
    /// Their bytes, uncompressed.
    pub all_bytes: u64,
    /// Bytes of the second image's bootstrap, which is fetched whole.
    pub bootstrap: u64,
}

impl Fetch {
    /// The chunks of all blobs together.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.chunks).fold(0, u64::saturating_add)
    }

    /// Their bytes in the blobs.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.stored).fold(0, u64::saturating_add)
    }

    /// Their bytes, uncompressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.bytes).fold(0, u64::saturating_add)
    }
}

/// Whether two images are cut and hashed alike: only then can their files be compared by digests,
/// and a chunk of one serve the other.
#[must_use]
pub fn comparable(a: &Opened, b: &Opened) -> bool {
    (a.image().chunk_size, a.image().digester) == (b.image().chunk_size, b.image().digester)
}

struct ByRoots<'a> {
    a: &'a Opened,
    b: &'a Opened,
}

impl Judge<Content, Content> for ByRoots<'_> {
    fn same_content(&mut self, a: &Content, b: &Content) -> bool {
        let digests = |opened: &'_ Opened, content| -> Vec<ChunkDigest> {
            opened.chunks_of(content).map(|chunk| chunk.digest).collect()
        };
        a.size == b.size && digests(self.a, a) == digests(self.b, b)
    }

    fn same_subtree(&mut self, a: InodeId, b: InodeId) -> bool {
        let (a, b) = (self.a.hashes().get(a), self.b.hashes().get(b));
        a.is_some() && a == b
    }
}

/// Every difference from `a` to `b`. Directories with one hash are not entered.
#[must_use]
pub fn differences(a: &Opened, b: &Opened) -> Vec<Difference> {
    compare(a.tree(), b.tree(), &mut ByRoots { a, b })
}

/// What somebody who has all of `a` must still fetch for `b`.
///
/// # Errors
/// If a blob's compression info is needed, to find batches, and cannot be had.
pub fn fetch(a: &Opened, b: &Opened) -> Result<Fetch, OpenError> {
    let alike = a.image().digester == b.image().digester;
    let have: HashSet<_> = if alike {
        a.image().chunks.iter().map(|chunk| (chunk.digest, chunk.uncompressed_size)).collect()
    } else {
        HashSet::new()
    };
    let mut fetch = Fetch { bootstrap: b.bootstrap().get_ref().len() as u64, ..Fetch::default() };
    let mut by_blob: BTreeMap<u8, BlobFetch> = BTreeMap::new();
    let mut batches = HashSet::new();
    let mut seen = HashSet::new();
    for chunk in &b.image().chunks {
        let key = (chunk.digest, chunk.uncompressed_size);
        let size = u64::from(chunk.uncompressed_size);
        fetch.all_chunks = fetch.all_chunks.saturating_add(1);
        fetch.all_bytes = fetch.all_bytes.saturating_add(size);
        if have.contains(&key) || !seen.insert(key) {
            continue;
        }
        let stored = match chunk.stored {
            Stored::Alone { size, .. } => u64::from(size),
            Stored::Batched => batch_size(b, chunk, &mut batches)?,
        };
        let blob = b.blob(chunk.blob)?.id;
        let entry = by_blob.entry(chunk.blob);
        let entry = entry.or_insert(BlobFetch { blob, chunks: 0, stored: 0, bytes: 0 });
        entry.chunks = entry.chunks.saturating_add(1);
        entry.stored = entry.stored.saturating_add(stored);
        entry.bytes = entry.bytes.saturating_add(size);
    }
    fetch.blobs = by_blob.into_values().collect();
    Ok(fetch)
}

/// The length of the batch that a chunk lies in, the first time that it is asked for.
fn batch_size(
    image: &Opened,
    chunk: &rafs::ChunkInfo,
    counted: &mut HashSet<(u8, u32)>,
) -> Result<u64, OpenError> {
    let id = image.blob(chunk.blob)?.id;
    let place = image.info_of(chunk.blob)?.locate(chunk);
    match place.map_err(|error| OpenError::Blob { blob: id, error })? {
        Location::Batched { batch, .. } if counted.insert((chunk.blob, batch.number)) => {
            Ok(u64::from(batch.compressed_size))
        }
        Location::Batched { .. } => Ok(0),
        Location::Alone { size, .. } => Ok(u64::from(size)),
    }
}
