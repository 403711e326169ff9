//! What a `Range` header asks for (RFC 9110, section 14). Pure.

use std::ops::Range;

/// What part of a blob is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, with 200: there is no range, or one that says all. `bytes=0-` is one of those:
    /// answered 200 it makes containerd 2 read one stream, with all its means to resume.
    All,
    /// A part, with 206; `open` if the client named no end, and so may go away before it.
    Some {
        /// The bytes.
        bytes: Range<u64>,
        /// Whether the client named no end.
        open: bool,
    },
    /// None of what is asked for exists: 416.
    Unsatisfiable,
}

impl Part {
    /// The bytes of a blob of `length` bytes that are meant; `None` if there are none.
    #[must_use]
    pub fn bytes(&self, length: u64) -> Option<Range<u64>> {
        match self {
            Self::All => Some(0..length),
            Self::Some { bytes, .. } => Some(bytes.clone()),
            Self::Unsatisfiable => None,
        }
    }
}

/// Reads the header's value for a blob of `length` bytes. What cannot be read is ignored, as the
/// RFC wants it; several ranges are answered with all, which it allows.
#[must_use]
pub fn read(header: Option<&str>, length: u64) -> Part {
    let asked = header
        .and_then(|value| value.trim().strip_prefix("bytes="))
        .filter(|set| !set.contains(','))
        .and_then(|spec| spec.split_once('-'))
        .map(|(first, last)| (first.trim(), last.trim()));
    match asked {
        None => Part::All,
        Some(("", last)) => suffix(last, length),
        Some((first, "")) => match number(first) {
            None | Some(0) => Part::All,
            Some(first) if first >= length => Part::Unsatisfiable,
            Some(first) => Part::Some { bytes: first..length, open: true },
        },
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => bounded(first, last, length),
            _ => Part::All,
        },
    }
}

fn bounded(first: u64, last: u64, length: u64) -> Part {
    if first >= length {
        return Part::Unsatisfiable;
    }
    Part::Some { bytes: first..last.saturating_add(1).min(length), open: false }
}

fn suffix(last: &str, length: u64) -> Part {
    match number(last) {
        None => Part::All,
        Some(0) => Part::Unsatisfiable,
        Some(_) if length == 0 => Part::Unsatisfiable,
        Some(count) => Part::Some { bytes: length.saturating_sub(count)..length, open: false },
    }
}

/// Digits only: no sign, no space. A number too large for us is beyond every blob.
fn number(digits: &str) -> Option<u64> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    only_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        let some = |bytes, open| Part::Some { bytes, open };
        for (header, part) in [
            (None, Part::All),
            (Some("bytes=0-"), Part::All),
            (Some("bytes=1-"), some(1..100, true)),
            (Some("bytes=99-"), some(99..100, true)),
            (Some("bytes=100-"), Part::Unsatisfiable),
            (Some("bytes=0-0"), some(0..1, false)),
            (Some("bytes=0-99"), some(0..100, false)),
            (Some("bytes=10-1000"), some(10..100, false)),
            (Some("bytes=100-200"), Part::Unsatisfiable),
            (Some("bytes=-10"), some(90..100, false)),
            (Some("bytes=-1000"), some(0..100, false)),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=5-4"), Part::All),
            (Some("bytes=a-b"), Part::All),
            (Some("bytes=+1-2"), Part::All),
            (Some("bytes=--5"), Part::All),
            (Some("bytes=0-1,5-6"), Part::All),
            (Some("items=0-1"), Part::All),
            (Some("bytes=99999999999999999999999-"), Part::Unsatisfiable),
            (Some("bytes=1-99999999999999999999999"), some(1..100, false)),
        ] {
            assert_eq!(read(header, 100), part, "{header:?}");
        }
        assert_eq!(read(Some("bytes=-1"), 0), Part::Unsatisfiable);
        assert_eq!(read(Some("bytes=0-"), 0), Part::All);
    }
}
