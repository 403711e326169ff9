//! Room for the bytes of reads, which is used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// So many buffers are kept that nobody uses.
const SPARE: usize = 4;

/// Buffers that nobody uses.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// One of so many bytes, whatever they are.
    pub(super) fn take(&self, length: usize) -> Buffer {
        let mut bytes = lock(&self.0).pop().unwrap_or_default();
        bytes.resize(length, 0);
        Buffer { bytes, from: self.clone() }
    }
}

/// Room for the bytes of one read.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    from: Buffers,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = lock(&self.from.0);
        if buffers.len() < SPARE {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_long_as_asked() {
        let buffers = Buffers::default();
        for length in [100, 7, 0, 8] {
            assert_eq!(buffers.take(length).len(), length);
        }
        assert_eq!(lock(&buffers.0).len(), 1);
    }
}
