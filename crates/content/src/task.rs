//! What the swarm moves, and how it is cut.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::digest::{Digest, parse_hex32};

/// The name of what the swarm moves: a blob by its digest, or a URL by what a supernode made of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum TaskId {
    /// A registry blob, manifest or config. Its name is its digest, wherever it came from, so that
    /// the same bytes move once.
    Blob(Digest),
    /// A URL that `dfget` was given, named by the supernode (design, section 3).
    Url([u8; 32]),
}

/// A text that names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task is `sha256:` or `url:` and 64 lower-case hexadecimal characters")]
pub struct TaskIdParseError;

impl TaskId {
    /// The task of a URL: SHA-256 over length-prefixed fields, so that no two lists of fields
    /// share a name.
    #[must_use]
    pub fn of_url_fields<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = crate::BlobHasher::new();
        for field in fields {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field.as_bytes());
        }
        Self::Url(*hasher.finish().as_bytes())
    }

    /// The digest that the whole must have, where the name says it.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        match self {
            Self::Blob(digest) => Some(*digest),
            Self::Url(_) => None,
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => digest.fmt(f),
            Self::Url(raw) => write!(f, "url:{}", hex::encode(raw)),
        }
    }
}

impl FromStr for TaskId {
    type Err = TaskIdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(encoded) = text.strip_prefix("url:") {
            return parse_hex32(encoded).map(Self::Url).ok_or(TaskIdParseError);
        }
        text.parse().map(Self::Blob).map_err(|_| TaskIdParseError)
    }
}

/// The number of a piece within its task, from 0.
pub type PieceIndex = u32;

/// The size of every piece of a task but the last: a power of two from 64 KiB to 1 MiB.
///
/// Small layers need small pieces, or a thousand nodes wait for store-and-forward; lazy reads and
/// memory need them bounded (design, section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PieceSize(u32);

impl PieceSize {
    /// The smallest piece, 64 KiB: one subtree of a piece's proof.
    pub const MIN: u32 = 64 * 1024;
    /// The largest piece, 1 MiB.
    pub const MAX: u32 = 1024 * 1024;
    /// How many pieces a task is cut into where the bounds allow it.
    const AIM: u64 = 256;

    /// The piece size of a task of `length` bytes: the power of two nearest above length/256,
    /// within the bounds.
    #[must_use]
    pub fn for_length(length: u64) -> Self {
        let aim = length.div_ceil(Self::AIM).next_power_of_two();
        let bounded = aim.clamp(u64::from(Self::MIN), u64::from(Self::MAX));
        Self(u32::try_from(bounded).unwrap_or(Self::MAX))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }
}

/// Why a told layout is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not a power of two from 64 KiB to 1 MiB.
    #[error("{0} bytes is no piece size (a power of two from 64 KiB to 1 MiB)")]
    PieceSize(u64),
    /// More than [`Layout::MAX_LENGTH`].
    #[error("{0} bytes is longer than a task may be")]
    Length(u64),
}

/// How a task is cut: its length and its piece size, told by the supernode and never guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Layout {
    length: u64,
    piece_size: PieceSize,
}

impl Layout {
    /// The longest task: 1 TiB, so that a piece index always fits and a lie about a length cannot
    /// make a node reserve more.
    pub const MAX_LENGTH: u64 = 1 << 40;

    /// The layout of a task of `length` bytes.
    ///
    /// # Errors
    /// If the length is over [`Self::MAX_LENGTH`].
    pub fn for_length(length: u64) -> Result<Self, LayoutError> {
        Self::told(length, PieceSize::for_length(length).bytes())
    }

    /// The layout that somebody told, checked.
    ///
    /// # Errors
    /// If the length or the piece size is out of bounds.
    pub fn told(length: u64, piece_size: u64) -> Result<Self, LayoutError> {
        if length > Self::MAX_LENGTH {
            return Err(LayoutError::Length(length));
        }
        match u32::try_from(piece_size) {
            Ok(size)
                if size.is_power_of_two() && (PieceSize::MIN..=PieceSize::MAX).contains(&size) =>
            {
                Ok(Self { length, piece_size: PieceSize(size) })
            }
            _ => Err(LayoutError::PieceSize(piece_size)),
        }
    }

    /// The task's length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The size of every piece but the last.
    #[must_use]
    pub const fn piece_size(&self) -> PieceSize {
        self.piece_size
    }

    /// How many pieces there are; none for an empty task.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        let count = self.length.div_ceil(self.piece_size.bytes());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Where piece `index` lies, in bytes of the task; `None` if there is no such piece.
    #[must_use]
    pub fn extent(&self, index: PieceIndex) -> Option<Range<u64>> {
        let start = u64::from(index) * self.piece_size.bytes();
        (start < self.length).then(|| start..(start + self.piece_size.bytes()).min(self.length))
    }

    /// The piece that holds byte `offset`, which lies within the task.
    #[must_use]
    pub fn piece_at(&self, offset: u64) -> PieceIndex {
        u32::try_from(offset / self.piece_size.bytes()).unwrap_or(u32::MAX)
    }

    /// The run of pieces that covers `range`, cut to the task's end.
    #[must_use]
    pub fn covering(&self, range: Range<u64>) -> Run {
        let end = range.end.min(self.length);
        if range.start >= end {
            return Run::EMPTY;
        }
        Run { first: self.piece_at(range.start), end: self.piece_at(end - 1) + 1 }
    }

    /// All pieces.
    #[must_use]
    pub fn all(&self) -> Run {
        Run { first: 0, end: self.pieces() }
    }

    /// The bytes that a run of pieces covers.
    #[must_use]
    pub fn bytes_of(&self, run: Run) -> Range<u64> {
        let size = self.piece_size.bytes();
        let end = (u64::from(run.end) * size).min(self.length);
        (u64::from(run.first) * size).min(end)..end
    }
}

/// A run of neighbouring pieces, `first` to `end` exclusive: what is scheduled and asked for, so
/// that small pieces stay cheap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Run {
    /// The first piece.
    pub first: PieceIndex,
    /// One past the last piece.
    pub end: PieceIndex,
}

impl Run {
    /// No piece at all.
    pub const EMPTY: Self = Self { first: 0, end: 0 };

    /// How many pieces the run has.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.end.saturating_sub(self.first)
    }

    /// Whether the run has no piece.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end <= self.first
    }

    /// Whether `index` is in the run.
    #[must_use]
    pub const fn contains(&self, index: PieceIndex) -> bool {
        self.first <= index && index < self.end
    }

    /// The run's pieces, in order.
    pub fn iter(self) -> impl Iterator<Item = PieceIndex> {
        self.first..self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes at which something changes: nothing, one byte, around a piece, around the bounds.
    const LENGTHS: [u64; 10] = [
        0,
        1,
        65_535,
        65_536,
        65_537,
        16 << 20,
        (16 << 20) + 1,
        256 << 20,
        (256 << 20) + 1,
        Layout::MAX_LENGTH,
    ];

    #[test]
    fn pieces_tile_the_task() {
        for length in LENGTHS {
            let layout = Layout::for_length(length).expect("within bounds");
            let count = layout.pieces();
            for index in [0, 1, count / 2, count.saturating_sub(1)] {
                let Some(extent) = layout.extent(index) else {
                    assert!(index >= count);
                    continue;
                };
                assert_eq!(layout.piece_at(extent.start), index);
                assert_eq!(layout.piece_at(extent.end - 1), index);
                assert_eq!(layout.covering(extent), Run { first: index, end: index + 1 });
            }
            assert_eq!(layout.extent(count), None);
            assert_eq!(layout.bytes_of(layout.all()), 0..length);
        }
    }

    #[test]
    fn piece_sizes_follow_the_length_within_their_bounds() {
        let size = |length| PieceSize::for_length(length).bytes();
        assert_eq!(size(0), 64 << 10);
        assert_eq!(size(16 << 20), 64 << 10);
        assert_eq!(size((16 << 20) + 1), 128 << 10);
        assert_eq!(size(64 << 20), 256 << 10);
        assert_eq!(size(1 << 40), 1 << 20);
    }

    #[test]
    fn a_told_layout_is_checked() {
        assert!(Layout::told(10, 65_536).is_ok());
        for bad in [0, 1, 65_535, 65_537, 98_304, 2 << 20, u64::MAX] {
            assert_eq!(Layout::told(10, bad), Err(LayoutError::PieceSize(bad)));
        }
        assert!(Layout::told(Layout::MAX_LENGTH + 1, 65_536).is_err());
    }

    #[test]
    fn url_fields_do_not_run_together() {
        assert_ne!(TaskId::of_url_fields(["ab", "c"]), TaskId::of_url_fields(["a", "bc"]));
    }

    #[test]
    fn task_names_survive_the_way_to_text_and_back() {
        for task in [TaskId::Blob(Digest::of(b"x")), TaskId::Url([7; 32])] {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
        assert!("url:../x".parse::<TaskId>().is_err());
    }
}
