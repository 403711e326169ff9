//! One inode.

use crate::error::{RafsError, Unsupported};
use crate::ondisk::inode::{CompactInode, ExtendedInode, XattrHeader, file_type, format, mode};
use crate::ondisk::{BLOCK, SLOT};
use crate::slice::{part, read};

use super::head::Head;

/// The number of an inode: its place. What FUSE calls the inode number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Nid(pub u64);

/// What kind of file an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

impl FileType {
    const ALL: [(Self, u16, u8); 7] = [
        (Self::Regular, mode::REGULAR, file_type::REGULAR),
        (Self::Directory, mode::DIRECTORY, file_type::DIRECTORY),
        (Self::Character, mode::CHARACTER, file_type::CHARACTER),
        (Self::Block, mode::BLOCK, file_type::BLOCK),
        (Self::Fifo, mode::FIFO, file_type::FIFO),
        (Self::Socket, mode::SOCKET, file_type::SOCKET),
        (Self::Symlink, mode::SYMLINK, file_type::SYMLINK),
    ];

    pub(crate) fn of_mode(bits: u16) -> Option<Self> {
        Self::ALL.iter().find(|(_, of, _)| bits & mode::TYPE == *of).map(|(kind, _, _)| *kind)
    }

    pub(crate) fn of_dirent(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, _, of)| number == *of).map(|(kind, _, _)| *kind)
    }

    fn entry(self) -> (u16, u8) {
        Self::ALL.iter().find(|(kind, _, _)| *kind == self).map_or((0, 0), |(_, m, d)| (*m, *d))
    }

    /// The bits of `st_mode` that say so.
    #[must_use]
    pub fn mode(self) -> u16 {
        self.entry().0
    }

    pub(crate) fn dirent(self) -> u8 {
        self.entry().1
    }
}

/// Where the data of an inode lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// In blocks of its own.
    Plain,
    /// The same, and the last one after the inode.
    Inline,
    /// In chunks.
    Chunks,
}

/// One inode, as it is read. What belongs to it (entries, target, attributes, chunks) is asked of
/// the [`super::Bootstrap`] that it is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inode {
    /// Its number.
    pub nid: Nid,
    /// What it is.
    pub file_type: FileType,
    /// Permissions with setuid, setgid and sticky: the lower twelve bits of `st_mode`.
    pub permissions: u16,
    /// Length in bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last change, in seconds since 1970; negative before.
    pub mtime: i64,
    /// Its nanoseconds, below 10⁹.
    pub mtime_nsec: u32,
    /// How many names it says that it has.
    pub nlink: u32,
    pub(crate) layout: Layout,
    pub(crate) union: u32,
    /// Where its attributes begin.
    pub(crate) xattrs_at: u64,
    /// How long they are with their header.
    pub(crate) xattrs_size: u64,
}

impl Inode {
    pub(crate) fn read(bytes: &[u8], head: &Head, nid: Nid) -> Result<Self, RafsError> {
        let at = nid.0.checked_mul(SLOT).and_then(|offset| offset.checked_add(head.meta_at));
        let at = at.ok_or(RafsError::corrupt("inode", u64::MAX, "its number is too high"))?;
        let compact: &CompactInode = read(bytes, at, "inode")?;
        let bits = compact.format.get();
        if bits & !format::KNOWN != 0 {
            return Err(RafsError::corrupt("inode", at, "its format is unknown"));
        }
        let layout = match bits >> format::LAYOUT_SHIFT & format::LAYOUT_MASK {
            format::FLAT_PLAIN => Layout::Plain,
            format::FLAT_INLINE => Layout::Inline,
            format::CHUNK_BASED => Layout::Chunks,
            _ => return Err(RafsError::Unsupported(Unsupported::Layout)),
        };
        let file_type = FileType::of_mode(compact.mode.get())
            .ok_or_else(|| RafsError::corrupt("inode", at, "its type is unknown"))?;
        let xattrs_size = match u64::from(compact.xattr_count.get()) {
            0 => 0,
            count => {
                size_of::<XattrHeader>() as u64 + (count - 1) * crate::ondisk::inode::XATTR_WORD
            }
        };
        let shape = Shape { nid, at, file_type, layout, xattrs_size };
        let inode = if bits & format::EXTENDED == 0 {
            shape.compact(compact, head)
        } else {
            shape.extended(read(bytes, at, "inode")?)
        };
        part(bytes, inode.xattrs_at, xattrs_size, "extended attributes")?;
        if inode.mtime_nsec >= 1_000_000_000 {
            return Err(RafsError::corrupt("inode", at, "its time has too many nanoseconds"));
        }
        Ok(inode)
    }

    /// Where what follows the attributes begins.
    pub(crate) const fn tail_at(&self) -> u64 {
        self.xattrs_at.saturating_add(self.xattrs_size)
    }

    /// How many blocks its data has, the inline one included.
    pub(crate) const fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    /// The number of the device that it is, major and minor; `None` if it is none.
    ///
    /// The kernel's new encoding: 12 bits of major around the lower 8 of minor, the upper 12 of
    /// minor above them.
    #[must_use]
    pub const fn device(&self) -> Option<(u32, u32)> {
        if !matches!(self.file_type, FileType::Character | FileType::Block) {
            return None;
        }
        let major = (self.union & 0xf_ff00) >> 8;
        let minor = self.union & 0xff | (self.union >> 12) & 0xf_ff00;
        Some((major, minor))
    }

    /// What stands in an inode for this device; `None` if the number is too large.
    pub(crate) const fn encode_device(major: u32, minor: u32) -> Option<u32> {
        if major > 0xfff || minor > 0xf_ffff {
            return None;
        }
        Some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
    }
}

/// What the two kinds of inodes have in common.
struct Shape {
    nid: Nid,
    at: u64,
    file_type: FileType,
    layout: Layout,
    xattrs_size: u64,
}

impl Shape {
    fn compact(self, inode: &CompactInode, head: &Head) -> Inode {
        Inode {
            nid: self.nid,
            file_type: self.file_type,
            permissions: inode.mode.get() & mode::PERMISSIONS,
            size: u64::from(inode.size.get()),
            uid: u32::from(inode.uid.get()),
            gid: u32::from(inode.gid.get()),
            mtime: head.build_time.0.cast_signed(),
            mtime_nsec: head.build_time.1,
            nlink: u32::from(inode.nlink.get()),
            layout: self.layout,
            union: inode.union.get(),
            xattrs_at: self.at.saturating_add(size_of::<CompactInode>() as u64),
            xattrs_size: self.xattrs_size,
        }
    }

    fn extended(self, inode: &ExtendedInode) -> Inode {
        Inode {
            nid: self.nid,
            file_type: self.file_type,
            permissions: inode.mode.get() & mode::PERMISSIONS,
            size: inode.size.get(),
            uid: inode.uid.get(),
            gid: inode.gid.get(),
            mtime: inode.mtime.get().cast_signed(),
            mtime_nsec: inode.mtime_nsec.get(),
            nlink: inode.nlink.get(),
            layout: self.layout,
            union: inode.union.get(),
            xattrs_at: self.at.saturating_add(size_of::<ExtendedInode>() as u64),
            xattrs_size: self.xattrs_size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_the_kernels() {
        // 7:300 in an image that `nydus-image` made.
        assert_eq!(Inode::encode_device(7, 300), Some(0x10_072c));
        assert_eq!(Inode::encode_device(1, 3), Some(0x103));
        assert_eq!(Inode::encode_device(0xfff, 0xf_ffff), Some(u32::MAX));
        assert_eq!(Inode::encode_device(0x1000, 0), None);
        assert_eq!(Inode::encode_device(0, 0x10_0000), None);
    }
}
