//! What `stat` says of an inode.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use rafs::bootstrap::{self, Inode};
use rafs::ondisk::BLOCK;

/// The attributes of an inode that the kernel calls `number`.
#[must_use]
pub fn attributes(inode: &Inode, number: INodeNo) -> FileAttr {
    let time = time(inode.mtime, inode.mtime_nsec);
    FileAttr {
        ino: number,
        size: inode.size,
        // In units of 512 bytes, whatever the block size (stat(3type)).
        blocks: inode.size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(inode.file_type),
        perm: inode.permissions,
        nlink: inode.nlink,
        uid: inode.uid,
        gid: inode.gid,
        rdev: inode.device().map_or(0, |(major, minor)| device(major, minor)),
        blksize: u32::try_from(BLOCK).unwrap_or(u32::MAX),
        flags: 0,
    }
}

/// What a name that leads nowhere has: the kernel remembers that too.
#[must_use]
pub fn nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// The same kind in FUSE's words.
#[must_use]
pub const fn kind(file_type: bootstrap::FileType) -> FileType {
    match file_type {
        bootstrap::FileType::Regular => FileType::RegularFile,
        bootstrap::FileType::Directory => FileType::Directory,
        bootstrap::FileType::Character => FileType::CharDevice,
        bootstrap::FileType::Block => FileType::BlockDevice,
        bootstrap::FileType::Fifo => FileType::NamedPipe,
        bootstrap::FileType::Socket => FileType::Socket,
        bootstrap::FileType::Symlink => FileType::Symlink,
    }
}

/// A time that the clock of this machine can say; the epoch if it cannot.
fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let part = Duration::from_nanos(u64::from(nanoseconds));
    whole.and_then(|whole| whole.checked_add(part)).unwrap_or(UNIX_EPOCH)
}

/// A device's number as FUSE has it: the kernel's `new_encode_dev`, 12 bits of major around the
/// lower 8 of minor, the upper 12 of minor above them.
const fn device(major: u32, minor: u32) -> u32 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_times() {
        assert_eq!(time(-1, 250_000_000), UNIX_EPOCH - Duration::from_millis(750));
        assert_eq!(time(1, 5), UNIX_EPOCH + Duration::new(1, 5));
        // What no clock can say does no harm.
        let _ = (time(i64::MAX, 999_999_999), time(i64::MIN, 0));
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        assert_eq!(device(7, 300), 0x10_072c);
        assert_eq!(device(0xfff, 0xf_ffff), u32::MAX);
    }
}
