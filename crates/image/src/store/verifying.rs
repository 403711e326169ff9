//! A blob that is checked while it is read.

use std::fmt;
use std::io::{self, Read};

use content::{BlobHasher, Digest};

/// Reads a blob, and at its end says whether it was the one.
pub struct Verifying<R> {
    inner: R,
    hasher: Option<BlobHasher>,
    expected: Digest,
    length: u64,
    read: u64,
}

impl<R: Read> Verifying<R> {
    /// The blob with this digest, of `length` bytes.
    pub fn new(inner: R, expected: Digest, length: u64) -> Self {
        Self { inner, hasher: Some(BlobHasher::new()), expected, length, read: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.read
    }

    /// Reads what is left, so that all of the blob was checked.
    ///
    /// # Errors
    /// If it cannot be read, or is another one.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(|_| ())
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if self.read != self.length {
            let (read, length) = (self.read, self.length);
            return Err(bad(&format!("it has {read} bytes and should have {length}")));
        }
        let actual = hasher.finish();
        if actual == self.expected { Ok(()) } else { Err(bad(&format!("its bytes are {actual}"))) }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buffer)?;
        if read == 0 {
            return self.end().map(|()| 0);
        }
        self.read = self.read.saturating_add(read as u64);
        if self.read > self.length {
            return Err(bad(&format!("it has more than {} bytes", self.length)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
        Ok(read)
    }
}

impl<R> fmt::Debug for Verifying<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifying").field("expected", &self.expected).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], length: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Verifying::new(bytes, Digest::of(b"abc"), length).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn only_the_blob_itself_comes_to_its_end() {
        assert_eq!(read(b"abc", 3).unwrap(), b"abc");
        for (bytes, length) in [(&b"abd"[..], 3), (b"ab", 3), (b"abcd", 3), (b"abc", 2), (b"", 0)] {
            assert!(read(bytes, length).is_err(), "{bytes:?} {length}");
        }
    }
}
