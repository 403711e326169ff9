//! Bytes into a file, but for blocks of zeros, which become holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// In these steps zeros are looked for, in bytes: what file systems make holes of.
const HOLE: usize = 4096;

/// Writes `bytes` at `at`; whole steps of zeros are left out. The file must be empty there.
pub(crate) fn write_sparse(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut begin = 0_usize;
    let mut upto = 0_usize;
    for block in bytes.chunks(HOLE) {
        let end = upto.saturating_add(block.len());
        if is_zero(block) {
            put(file, at, bytes, begin, upto)?;
            begin = end;
        }
        upto = end;
    }
    put(file, at, bytes, begin, upto)
}

fn put(file: &File, at: u64, bytes: &[u8], begin: usize, end: usize) -> io::Result<()> {
    match bytes.get(begin..end) {
        Some(part) if !part.is_empty() => file.write_all_at(part, at.saturating_add(begin as u64)),
        _ => Ok(()),
    }
}

fn is_zero(block: &[u8]) -> bool {
    // Compared with zeros of its own length: as fast as memory is read.
    const ZEROS: [u8; HOLE] = [0; HOLE];
    ZEROS.get(..block.len()) == Some(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_are_holes_and_nothing_else_is_lost() {
        let mut bytes = vec![7; 10_000];
        bytes.resize(1 << 20, 0);
        bytes.extend([1; 5000]);
        bytes.extend([0; 100]);
        let file = tempfile::tempfile().unwrap();
        write_sparse(&file, 8192, &bytes).unwrap();
        file.set_len(8192 + bytes.len() as u64).unwrap();
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 8192).unwrap();
        assert!(read == bytes);
        assert!(file.metadata().unwrap().blocks() * 512 < 100_000);
    }
}
