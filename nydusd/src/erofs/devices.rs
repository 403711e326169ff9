//! The data devices of an image: a folder of files, each named by its blob's number.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    Request,
};
use lazy::{LazyImage, Of};
use sys::Mapping;

use crate::fuse::readers::Readers;
use crate::fuse::{BACKGROUND, FOREVER, answer_read};

/// Files' numbers begin behind the root's.
const FIRST: u64 = 2;

/// The folder.
#[derive(Debug)]
pub struct Devices {
    image: Arc<LazyImage<Mapping>>,
    readers: Readers,
}

impl Devices {
    /// Those of `image`, whose reads may wait in `readers`.
    #[must_use]
    pub const fn new(image: Arc<LazyImage<Mapping>>, readers: Readers) -> Self {
        Self { image, readers }
    }

    /// The blob that the kernel calls `number`.
    fn blob(&self, number: INodeNo) -> Option<u8> {
        let blob = u8::try_from(number.0.checked_sub(FIRST)?).ok()?;
        (usize::from(blob) < self.image.bootstrap().blobs().len()).then_some(blob)
    }

    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let blob = self.blob(number).and_then(|blob| {
            self.image.bootstrap().blobs().get(usize::from(blob)).map(|blob| blob.uncompressed_size)
        });
        let (kind, size) = match blob {
            Some(size) => (FileType::RegularFile, size),
            None if number == INodeNo::ROOT => (FileType::Directory, 0),
            None => return None,
        };
        let time = UNIX_EPOCH;
        Some(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            // Root's, and nobody reaches them but the kernel.
            perm: 0o500,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Devices {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What is refused an older kernel does without.
        let _ = config.add_capabilities(InitFlags::FUSE_EXPLICIT_INVAL_DATA);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse::<u8>().ok());
        let number = number.map(|number| INodeNo(FIRST.saturating_add(u64::from(number))));
        match number.and_then(|number| self.attributes(number)) {
            Some(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Past the page cache of this mount: EROFS has one of its own.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.blob(number) {
            Some(blob) => {
                answer_read(&self.image, &self.readers, Of::Blob(blob), (offset, size), reply);
            }
            None => reply.error(Errno::EISDIR),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
}
