//! The part of a blob that is asked for.

use std::ops::{Range, RangeFrom};

/// Bytes from `start` up to `end`, or to the blob's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// One past the last byte, if there is a bound. It may lie beyond the blob's end.
    pub end: Option<u64>,
}

impl Span {
    /// The whole blob.
    pub const ALL: Self = Self { start: 0, end: None };

    /// Whether it asks for no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }
}

impl From<Range<u64>> for Span {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

impl From<RangeFrom<u64>> for Span {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { start: range.start, end: None }
    }
}

impl From<(u64, Option<u64>)> for Span {
    fn from((start, end): (u64, Option<u64>)) -> Self {
        Self { start, end }
    }
}
