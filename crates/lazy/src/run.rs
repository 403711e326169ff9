//! Chunks that lie behind one another in their blob are asked for together.

use rafs::{ChunkInfo, Stored};

/// Chunks of one blob, each stored right behind the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The chunks, in the order in which they lie; at least one, and each stored alone.
    pub chunks: Vec<ChunkInfo>,
    /// Where the first begins in the blob as it is stored, in bytes.
    pub offset: u64,
    /// How many bytes all of them take there.
    pub length: u64,
}

impl Run {
    /// The number of their blob.
    #[must_use]
    pub fn blob(&self) -> Option<u8> {
        self.chunks.first().map(|chunk| chunk.blob)
    }

    /// Whether a chunk that is stored at `offset` in `size` bytes goes with these, so that all of
    /// them take at most `most`.
    pub(crate) fn takes(&self, chunk: &ChunkInfo, offset: u64, size: u32, most: u64) -> bool {
        let end = self.offset.checked_add(self.length);
        let length = self.length.saturating_add(u64::from(size));
        self.blob() == Some(chunk.blob) && end == Some(offset) && length <= most
    }

    pub(crate) fn add(&mut self, chunk: ChunkInfo, size: u32) {
        self.length = self.length.saturating_add(u64::from(size));
        self.chunks.push(chunk);
    }
}

/// Where a chunk's stored bytes lie in its blob; `None` if it lies in a batch.
#[must_use]
pub const fn place(chunk: &ChunkInfo) -> Option<(u64, u32)> {
    match chunk.stored {
        Stored::Alone { offset, size, .. } => Some((offset, size)),
        Stored::Batched => None,
    }
}

/// Cuts a list of chunks into runs of at most `most` stored bytes, or of one chunk that is longer.
/// The order stays. Chunks in batches are left out, and what is named twice in a row is asked once.
pub fn runs(chunks: impl IntoIterator<Item = ChunkInfo>, most: u64) -> impl Iterator<Item = Run> {
    let mut chunks = chunks.into_iter();
    let mut open: Option<Run> = None;
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            let Some(chunk) = chunks.next() else {
                ended = true;
                break;
            };
            let Some((offset, size)) = place(&chunk) else { continue };
            match &mut open {
                Some(run) if run.chunks.last() == Some(&chunk) => {}
                Some(run) if run.takes(&chunk, offset, size, most) => {
                    run.add(chunk, size);
                }
                open => {
                    let length = u64::from(size);
                    let done = open.replace(Run { chunks: vec![chunk], offset, length });
                    if done.is_some() {
                        return done;
                    }
                }
            }
        }
        open.take()
    })
}

#[cfg(test)]
mod tests {
    use rafs::ChunkDigest;

    use super::*;

    fn chunk(blob: u8, offset: u64, size: u32) -> ChunkInfo {
        ChunkInfo {
            digest: ChunkDigest([7; 32]),
            blob,
            index: 0,
            uncompressed_offset: offset.saturating_mul(2),
            uncompressed_size: size,
            stored: Stored::Alone { offset, size, compressed: false },
        }
    }

    fn cut(chunks: &[ChunkInfo], most: u64) -> Vec<(u8, u64, u64, usize)> {
        runs(chunks.iter().copied(), most)
            .map(|run| (run.blob().unwrap(), run.offset, run.length, run.chunks.len()))
            .collect()
    }

    #[test]
    fn only_neighbours_of_one_blob_go_together() {
        let a =
            [chunk(0, 0, 10), chunk(0, 10, 5), chunk(0, 15, 5), chunk(0, 21, 5), chunk(1, 26, 5)];
        assert_eq!(cut(&a, 100), [(0, 0, 20, 3), (0, 21, 5, 1), (1, 26, 5, 1)]);
        // In the order that was given, also where that is not the blob's.
        let b = [chunk(0, 10, 5), chunk(0, 0, 10), chunk(0, 10, 5)];
        assert_eq!(cut(&b, 100), [(0, 10, 5, 1), (0, 0, 15, 2)]);
        assert_eq!(cut(&[], 100), []);
    }

    #[test]
    fn a_run_has_an_end_and_a_long_chunk_is_one() {
        let a = [chunk(0, 0, 10), chunk(0, 10, 10), chunk(0, 20, 10), chunk(0, 30, 50)];
        assert_eq!(cut(&a, 20), [(0, 0, 20, 2), (0, 20, 10, 1), (0, 30, 50, 1)]);
    }

    #[test]
    fn what_is_named_twice_or_lies_in_a_batch() {
        let batched = ChunkInfo { stored: Stored::Batched, ..chunk(0, 10, 10) };
        let a = [chunk(0, 0, 10), chunk(0, 0, 10), batched, chunk(0, 10, 10)];
        assert_eq!(cut(&a, 100), [(0, 0, 20, 2)]);
        assert_eq!(cut(&[batched], 100), []);
        // Places that no blob has are no reason to panic.
        let far = [chunk(0, u64::MAX, 10), chunk(0, 9, 10)];
        assert_eq!(cut(&far, u64::MAX).len(), 2);
    }
}
