//! What a layer was made of, and how.

use std::fmt;

use content::Digest;

use super::super::layer::Shared;
use super::super::options::Format;

/// Changes whenever a converter makes other bytes of the same layer.
const CONVERTER: u32 = 1;

/// What a layer was made of, and how: whoever agrees in this makes the same of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key(Digest);

impl Key {
    /// Of the layer `source`, converted so.
    pub(super) fn of(source: &Digest, shared: &Shared) -> Self {
        let Format { chunk_size, batch_size, compressor, level, digester } = shared.format;
        let dictionary = shared.dictionary.as_ref().map(|dictionary| dictionary.digest);
        let said = [
            format!("converter {CONVERTER}"),
            format!("source {source}"),
            format!("chunk-size {}", chunk_size.bytes()),
            format!("batch-size {}", batch_size.map_or(0, rafs::ChunkSize::bytes)),
            format!("compressor {compressor} {level}"),
            format!("digester {digester}"),
            format!("absolute-paths {:?}", shared.reading.absolute_paths),
            format!("dictionary {dictionary:?}"),
        ];
        Self(Digest::of(said.join("\n").as_bytes()))
    }

    /// As a manifest has it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
