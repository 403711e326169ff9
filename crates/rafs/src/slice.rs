//! Taking parts of untrusted bytes: checked, never copied before it is known that they are there.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::error::RafsError;

/// `length` bytes from `at` on.
pub(crate) fn part<'a>(
    bytes: &'a [u8],
    at: u64,
    length: u64,
    what: &'static str,
) -> Result<&'a [u8], RafsError> {
    let range = || {
        let end = usize::try_from(at.checked_add(length)?).ok()?;
        bytes.get(usize::try_from(at).ok()?..end)
    };
    range().ok_or(RafsError::OutOfBounds { what, at, length, there: bytes.len() as u64 })
}

/// The structure that begins at `at`.
pub(crate) fn read<'a, T>(bytes: &'a [u8], at: u64, what: &'static str) -> Result<&'a T, RafsError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    let part = part(bytes, at, size_of::<T>() as u64, what)?;
    // The length fits and nothing is aligned, so this cannot fail.
    T::ref_from_bytes(part).map_err(|_| RafsError::corrupt(what, at, "it has another length"))
}

/// The structures that fill `length` bytes from `at` on.
pub(crate) fn read_all<'a, T>(
    bytes: &'a [u8],
    at: u64,
    length: u64,
    what: &'static str,
) -> Result<&'a [T], RafsError>
where
    T: FromBytes + Immutable + Unaligned,
{
    let part = part(bytes, at, length, what)?;
    <[T]>::ref_from_bytes(part)
        .map_err(|_| RafsError::corrupt(what, at, "its length is no multiple of its entries'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::byteorder::little_endian::U32;

    #[test]
    fn nothing_outside_is_taken() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(read::<U32>(&bytes, 4, "x").map(|n| n.get()), Ok(2));
        for at in [5, 8, u64::MAX, u64::MAX - 3] {
            assert!(matches!(read::<U32>(&bytes, at, "x"), Err(RafsError::OutOfBounds { .. })));
        }
        assert_eq!(read_all::<U32>(&bytes, 0, 8, "x").map(<[U32]>::len), Ok(2));
        assert!(matches!(read_all::<U32>(&bytes, 0, 7, "x"), Err(RafsError::Corrupt { .. })));
    }
}
