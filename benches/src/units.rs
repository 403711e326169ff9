//! Chunks as a chunked image compresses them: large ones alone, small ones in batches, each
//! content once.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use image_builder::convert::Format;
use rafs::ChunkDigest;

/// Hands the chunks of all files of a layer to `take`, in the layer's order.
///
/// # Errors
/// If the layer cannot be read.
pub fn chunks(layer: &Path, format: &Format, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let mut buffer = vec![0; format.chunk_size.bytes() as usize];
    let options = layer::Options::default();
    layer::read_layer(File::open(layer)?, &options, |_, data| {
        let size = data.size();
        for number in 0..format.chunk_size.chunks_of(size) {
            let length = format.chunk_size.length_of(number, size).unwrap_or(0);
            let chunk = buffer.get_mut(..length as usize).unwrap_or_default();
            data.read_exact(chunk)?;
            take(chunk);
        }
        Ok::<_, std::io::Error>(())
    })
    .with_context(|| format!("{} cannot be read", layer.display()))?;
    Ok(())
}

/// What is compressed as one.
#[derive(Debug)]
pub struct Units {
    format: Format,
    known: HashSet<ChunkDigest>,
    waiting: Vec<u8>,
}

impl Units {
    /// Units of an image that is stored so; chunks that are `known` belong to none.
    #[must_use]
    pub const fn new(format: Format, known: HashSet<ChunkDigest>) -> Self {
        Self { format, known, waiting: Vec::new() }
    }

    /// The next chunk; `unit` gets what is complete with it.
    pub fn push(&mut self, chunk: &[u8], digest: ChunkDigest, unit: &mut impl FnMut(&[u8])) {
        if !self.known.insert(digest) {
            return;
        }
        // As `rafs::write::BlobWriter` has it: less than half a batch is small.
        let batch = self.format.batch_size.map_or(0, |size| size.bytes() as usize);
        if chunk.len() >= batch / 2 {
            return unit(chunk);
        }
        if self.waiting.len() + chunk.len() > batch {
            self.end(unit);
        }
        self.waiting.extend_from_slice(chunk);
    }

    /// The end of a layer: its last batch is not the next one's first.
    pub fn end(&mut self, unit: &mut impl FnMut(&[u8])) {
        if !self.waiting.is_empty() {
            unit(&self.waiting);
        }
        self.waiting.clear();
    }
}

/// Compresses units into memory that it keeps.
#[allow(missing_debug_implementations, reason = "zstd's has none")]
pub struct Press {
    zstd: zstd::bulk::Compressor<'static>,
    room: Vec<u8>,
}

impl Press {
    /// For units of an image that is stored so.
    ///
    /// # Errors
    /// If there is no such level.
    pub fn new(format: &Format) -> anyhow::Result<Self> {
        let longest = zstd::zstd_safe::compress_bound(format.chunk_size.bytes() as usize);
        // Touched, so that it is there.
        let room = vec![1; longest];
        Ok(Self { zstd: zstd::bulk::Compressor::new(format.level)?, room })
    }

    /// How many bytes are stored of a unit: it stays as it is if it does not shrink.
    ///
    /// # Errors
    /// If it is longer than a chunk.
    pub fn stored(&mut self, unit: &[u8]) -> anyhow::Result<usize> {
        let length = self.zstd.compress_to_buffer(unit, self.room.as_mut_slice())?;
        Ok(length.min(unit.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_chunks_are_together_and_none_is_there_twice() {
        let format = Format::default();
        let known = HashSet::from([ChunkDigest([9; 32])]);
        let (mut units, mut lengths) = (Units::new(format, known), Vec::new());
        let sizes = [100 << 10, 100 << 10, 100 << 10, 128 << 10, 1 << 20, 5];
        for (number, size) in (0..).zip(sizes) {
            let chunk = vec![number; size];
            for _ in 0..2 {
                let digest = ChunkDigest([number; 32]);
                units.push(&chunk, digest, &mut |unit| lengths.push(unit.len()));
            }
        }
        units.push(b"known", ChunkDigest([9; 32]), &mut |_| unreachable!());
        units.end(&mut |unit| lengths.push(unit.len()));
        assert_eq!(lengths, [200 << 10, 128 << 10, 1 << 20, (100 << 10) + 5]);
    }
}
