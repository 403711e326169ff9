//! A part of a file as memory: bytes that can be passed around without being read.
//!
//! The mirror hands such bytes to its HTTP server, and its socket sends them with sendfile(2): no
//! page of the mapping is ever touched, the page cache feeds the socket. Should anybody read them
//! all the same, they are the file's bytes.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// A part of a file, mapped for reading until it is dropped.
///
/// The memory is the file: whoever maps one answers for it that the file is not made shorter
/// meanwhile, and expects nothing of bytes that are overwritten meanwhile but that they are some
/// bytes. (The store's data files keep their length as long as they have a name, and a deleted one
/// is not touched at all; a piece that is dropped becomes zeros.)
#[derive(Debug)]
pub struct Mapping {
    pages: NonNull<c_void>,
    mapped: usize,
    /// From the first page's begin to the first byte asked for.
    before: usize,
}

// SAFETY: the mapping is plain memory of this process, not bound to the thread that made it; it is
// only ever read, and unmapped once, by the `Drop` of its one owner.
unsafe impl Send for Mapping {}
// SAFETY: as above: shared access only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` of `file`.
    ///
    /// # Errors
    /// If the file has not so many bytes, or the kernel refuses.
    pub fn of(file: &File, bytes: Range<u64>) -> io::Result<Self> {
        if bytes.start >= bytes.end || bytes.end > file.metadata()?.len() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let start = bytes.start - bytes.start % page_size()?;
        let too_far = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let mapped = usize::try_from(bytes.end - start).map_err(too_far)?;
        let before = usize::try_from(bytes.start - start).map_err(too_far)?;
        let offset = libc::off_t::try_from(start).map_err(too_far)?;
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: the kernel chooses a place where nothing is; `file` is open, and `start` lies on
        // a page's border. Nothing is read here.
        let pages = unsafe {
            libc::mmap(std::ptr::null_mut(), mapped, protection, flags, file.as_raw_fd(), offset)
        };
        let pages = NonNull::new(pages).filter(|pages| pages.as_ptr() != libc::MAP_FAILED);
        Ok(Self { pages: pages.ok_or_else(io::Error::last_os_error)?, mapped, before })
    }

    /// Reads what is not in memory yet of `range` (counted from the mapping's first byte) from the
    /// disk, so that sending it does not wait for the disk. Blocks.
    ///
    /// # Errors
    /// If the disk cannot be read, or a kernel before 5.14 does not know how.
    pub fn load(&self, range: Range<usize>) -> io::Result<()> {
        let (from, length) = self.pages_of(range)?;
        // SAFETY: `pages_of` gives whole pages of this mapping; populating changes no byte.
        done(unsafe { libc::madvise(from, length, libc::MADV_POPULATE_READ) })
    }

    /// Whether all of `range` (counted from the mapping's first byte) is in memory.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn is_loaded(&self, range: Range<usize>) -> io::Result<bool> {
        let (from, length) = self.pages_of(range)?;
        let page = usize::try_from(page_size()?).unwrap_or(usize::MAX);
        let mut there = vec![0_u8; length.div_ceil(page)];
        // SAFETY: `pages_of` gives whole pages of this mapping, and `there` has a byte for each.
        done(unsafe { libc::mincore(from, length, there.as_mut_ptr()) })?;
        Ok(there.iter().all(|page| page & 1 == 1))
    }

    /// The pages that hold `range`: where they begin, and how many bytes they are.
    fn pages_of(&self, range: Range<usize>) -> io::Result<(*mut c_void, usize)> {
        if range.start > range.end || range.end > self.mapped - self.before {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let page = usize::try_from(page_size()?).unwrap_or(usize::MAX);
        let start = self.before + range.start;
        let first = start - start % page;
        // SAFETY: `first` lies within the mapping, as was checked above.
        let from = unsafe { self.pages.as_ptr().byte_add(first) };
        Ok((from, self.before + range.end - first))
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `mapped` bytes are mapped for reading from `pages` on, of which `before` come
        // first, and stay so as long as `self` lives. That the file stays long enough is the
        // caller's promise (see the type).
        unsafe {
            let first = self.pages.as_ptr().cast::<u8>().add(self.before);
            std::slice::from_raw_parts(first, self.mapped - self.before)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is what `mmap` gave, and nobody borrows from it any more.
        let unmapped = unsafe { libc::munmap(self.pages.as_ptr(), self.mapped) };
        debug_assert_eq!(unmapped, 0, "a mapping of ours is unmapped once");
    }
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn page_size() -> io::Result<u64> {
    // SAFETY: asks for a number; there is nothing to get wrong.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(length: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> =
            (0..=250).map(|at: u8| at.wrapping_mul(7)).cycle().take(length).collect();
        let mut file = tempfile::tempfile().expect("a scratch file");
        file.write_all(&bytes).expect("written");
        (file, bytes)
    }

    #[test]
    fn any_range_is_the_files_bytes() {
        let (file, bytes) = file(50_000);
        for range in [0..1, 0..50_000, 4095..4097, 4096..8192, 12_345..49_999, 49_999..50_000] {
            let mapping = Mapping::of(&file, range.start as u64..range.end as u64).expect("mapped");
            assert_eq!(mapping.as_ref(), &bytes[range.clone()]);
            let length = range.len();
            mapping.load(0..length).expect("loaded");
            assert!(mapping.is_loaded(length / 2..length).expect("told"));
        }
    }

    #[test]
    fn what_the_file_has_not_is_refused() {
        let (file, _) = file(5000);
        for range in [0..5001, 5000..5001, 7..7] {
            assert!(Mapping::of(&file, range).is_err());
        }
        let mapping = Mapping::of(&file, 10..5000).expect("mapped");
        assert!(mapping.load(0..4991).is_err());
        assert!(mapping.is_loaded(4990..4991).is_err());
    }

    #[test]
    fn a_mapping_outlives_its_file() {
        let (file, bytes) = file(9000);
        let mapping = Mapping::of(&file, 0..9000).expect("mapped");
        drop(file);
        assert_eq!(mapping.as_ref(), bytes);
    }
}
