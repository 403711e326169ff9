//! From a file's data to the chunks it is made of, each handed on once.

use std::collections::HashMap;
use std::io::Read;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use layer::{FileData, Part};
use rafs::{ChunkDigest, ChunkId, ChunkInfo, Content};

use super::budget::{Budget, Taken};
use super::dictionary::Dictionary;
use super::error::ChunkingError;
use super::options::Format;

/// A chunk on its way to the blob.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) plain: Bytes,
    pub(crate) digest: ChunkDigest,
    pub(crate) _taken: Taken<'a>,
}

/// A chunk of the layer that a dictionary has, and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borrowed {
    pub(crate) number: u32,
    /// In the blobs of the dictionary.
    pub(crate) chunk: ChunkInfo,
}

/// Cuts the files of one layer.
#[derive(Debug)]
pub(crate) struct Chunker<'a> {
    format: Format,
    budget: &'a Budget,
    dictionary: Option<&'a Dictionary>,
    send: SyncSender<Chunk<'a>>,
    /// Those that were not handed on, in the order of their numbers.
    borrowed: Vec<Borrowed>,
    /// The number of every chunk of this layer: in the order in which they came first.
    known: HashMap<ChunkDigest, u32>,
    /// A whole chunk of zeros.
    zeros: Option<ChunkDigest>,
}

impl<'a> Chunker<'a> {
    pub(crate) fn new(
        format: Format,
        budget: &'a Budget,
        dictionary: Option<&'a Dictionary>,
        send: SyncSender<Chunk<'a>>,
    ) -> Self {
        let (borrowed, known, zeros) = (Vec::new(), HashMap::new(), None);
        Self { format, budget, dictionary, send, borrowed, known, zeros }
    }

    /// No more files come; the chunks that were not handed on.
    pub(crate) fn finish(self) -> Vec<Borrowed> {
        self.borrowed
    }

    /// Takes all of a file's data.
    pub(crate) fn take(&mut self, data: &mut FileData<'_>) -> Result<Content, ChunkingError> {
        let (size, cut) = (data.size(), self.format.chunk_size);
        let mut chunks = Vec::new();
        for number in 0..cut.chunks_of(size) {
            let length = cut.length_of(number, size).ok_or(ChunkingError::TooMany)?;
            chunks.push(self.chunk(data, length)?);
        }
        Ok(Content { size, chunks: chunks.into() })
    }

    fn chunk(&mut self, data: &mut FileData<'_>, length: u32) -> Result<ChunkId, ChunkingError> {
        let whole = length == self.format.chunk_size.bytes();
        let hole = matches!(data.part(), Some(Part::Hole(hole)) if hole >= u64::from(length));
        if whole
            && hole
            && let Some(known) = self.zeros.and_then(|zeros| self.known.get(&zeros))
        {
            data.skip_hole(u64::from(length));
            return Ok(ChunkId(*known));
        }
        // A chunk is at most 16 MiB.
        let length = length as usize;
        let taken = self.budget.take(length);
        let mut plain = vec![0; length];
        data.read_exact(&mut plain).map_err(ChunkingError::Read)?;
        let digest = self.format.digester.digest(&plain);
        if whole && hole {
            self.zeros = Some(digest);
        }
        if let Some(known) = self.known.get(&digest) {
            return Ok(ChunkId(*known));
        }
        let number = u32::try_from(self.known.len()).map_err(|_| ChunkingError::TooMany)?;
        self.known.insert(digest, number);
        if let Some(chunk) = self.dictionary.and_then(|dictionary| dictionary.find(&digest)) {
            self.borrowed.push(Borrowed { number, chunk: *chunk });
            return Ok(ChunkId(number));
        }
        let chunk = Chunk { plain: plain.into(), digest, _taken: taken };
        self.send.send(chunk).map_err(|_| ChunkingError::Stopped)?;
        Ok(ChunkId(number))
    }
}
