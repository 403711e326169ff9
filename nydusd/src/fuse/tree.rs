//! The kernel's questions, answered straight off the mapped bootstrap.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{
    Errno, FileHandle, Filesystem, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use lazy::{LazyImage, Of, ReadError};
use rafs::RafsError;
use rafs::bootstrap::{Dirent, Inode};
use rafs::ondisk::BLOCK;
use rafs::ondisk::inode::MAX_NAME;
use sys::Mapping;

use super::attributes::{attributes, kind, nothing};
use super::calls::{Call, Calls};
use super::copies::{Copies, Space};
use super::numbers::Numbers;
use super::read::{answer_read, failed};
use super::readers::Readers;
use super::{BACKGROUND, FOREVER, xattrs};

/// Inodes are not reused, so one generation does.
const GENERATION: Generation = Generation(0);

/// The tree of one image.
#[derive(Debug)]
pub struct ImageTree {
    image: Arc<LazyImage<Mapping>>,
    numbers: Numbers,
    readers: Readers,
    /// None if the kernel reads no file behind a file.
    copies: Option<Copies>,
}

impl ImageTree {
    /// The tree of `image`, whose reads may wait in `readers`, and whose large files may be copied
    /// into `space`.
    #[must_use]
    pub fn new(image: Arc<LazyImage<Mapping>>, readers: Readers, space: &Arc<Space>) -> Self {
        let numbers = Numbers::new(image.bootstrap().root());
        Self { image, numbers, readers, copies: Some(Copies::new(Arc::clone(space))) }
    }

    fn calls(&self) -> &Calls {
        self.readers.traffic().calls()
    }

    fn inode(&self, number: INodeNo) -> Result<Inode, Errno> {
        self.image.bootstrap().inode(self.numbers.nid(number)).map_err(wrong)
    }

    /// What a directory's entry names; it must be of the kind that the entry says.
    fn entry(&self, entry: &Dirent<'_>) -> Result<Inode, Errno> {
        let inode = self.image.bootstrap().inode(entry.nid).map_err(wrong)?;
        if inode.file_type == entry.file_type { Ok(inode) } else { Err(Errno::EIO) }
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<Option<Inode>, Errno> {
        if name.len() > MAX_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let parent = self.inode(parent)?;
        let found = self.image.bootstrap().lookup(&parent, name.as_bytes()).map_err(wrong)?;
        found.map(|entry| self.entry(&entry)).transpose()
    }

    /// Hands out a directory's entries from `offset` on, until `take` says that it is full.
    fn list(
        &self,
        number: INodeNo,
        offset: u64,
        mut take: impl FnMut(&Dirent<'_>) -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let inode = self.inode(number)?;
        let directory = self.image.bootstrap().directory(&inode).map_err(wrong)?;
        for entry in directory.entries_from(offset) {
            if take(&entry.map_err(wrong)?)? {
                break;
            }
        }
        Ok(())
    }

    fn xattr(&self, number: INodeNo, name: &OsStr) -> Result<Vec<u8>, Errno> {
        xattrs::value(self.image.bootstrap(), &self.inode(number)?, name.as_bytes())
    }

    fn xattr_names(&self, number: INodeNo) -> Result<Vec<u8>, Errno> {
        xattrs::names(self.image.bootstrap(), &self.inode(number)?)
    }

    fn target(&self, number: INodeNo) -> Result<&[u8], Errno> {
        let inode = self.inode(number)?;
        self.image.bootstrap().target(&inode).map_err(wrong)
    }

    fn blocks(&self) -> u64 {
        let bootstrap = self.image.bootstrap();
        let metadata = bootstrap.get_ref().as_ref().len() as u64;
        let data = bootstrap.blobs().iter().map(rafs::Blob::blocks);
        data.fold(metadata.div_ceil(BLOCK), u64::saturating_add)
    }
}

impl Filesystem for ImageTree {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_DIO,
            // Nobody changes a file behind the kernel's back.
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        ];
        // The kernel asks for the lists of every inode that is not its reader's own.
        if self.image.bootstrap().has_xattrs() {
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for flag in wanted {
            // An older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        // An overlay over this mount then has one layer less to stand on: there are two.
        let passthrough = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok();
        if !passthrough || config.set_max_stack_depth(1).is_err() {
            self.copies = None;
        }
        // What is refused is a number that the kernel does not take: its own then stands.
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.calls().count(Call::Lookup, self.find(parent, name)) {
            Ok(Some(inode)) => {
                let attributes = attributes(&inode, self.numbers.of(inode.nid));
                reply.entry(&FOREVER, &attributes, GENERATION);
            }
            Ok(None) => reply.entry(&FOREVER, &nothing(), GENERATION),
            Err(errno) => reply.error(errno),
        }
    }

    /// Nothing is remembered of what the kernel has looked up. Several at once come here one by one.
    fn forget(&self, _: &Request, _: INodeNo, _: u64) {
        self.calls().hit(Call::Forget);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.calls().count(Call::Getattr, self.inode(number)) {
            Ok(inode) => reply.attr(&FOREVER, &attributes(&inode, number)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.calls().count(Call::Readlink, self.target(number)) {
            Ok(target) => reply.data(target),
            Err(errno) => reply.error(errno),
        }
    }

    /// Who opens a large file may get a copy to read. Without copies there is nothing to be said: the
    /// answer ENOSYS has the kernel open files without asking from then on, and keep their pages.
    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let inode = self.calls().count(Call::Open, self.inode(number));
        let Some(copies) = &self.copies else { return reply.error(Errno::ENOSYS) };
        match inode {
            Ok(inode) => {
                self.calls().opened();
                copies.opened(inode, &self.image, &self.readers, reply);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn release(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.calls().hit(Call::Release);
        self.calls().closed();
        if let (Some(copies), Ok(inode)) = (&self.copies, self.inode(number)) {
            copies.closed(&inode, handle);
        }
        reply.ok();
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
        let inode = match self.inode(number) {
            Ok(inode) => inode,
            Err(errno) => {
                let _ = self.calls().count::<(), _>(Call::Read, Err(errno));
                return reply.error(errno);
            }
        };
        answer_read(&self.image, &self.readers, Of::File(inode), (offset, size), reply);
    }

    /// There is nothing to be written back: the kernel does not ask again.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// As [`Self::open`]: directories are opened without asking, and the kernel keeps their names.
    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.calls().hit(Call::Opendir);
        reply.error(Errno::ENOSYS);
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.list(number, offset, |entry| {
            let (number, name) = (self.numbers.of(entry.nid), OsStr::from_bytes(entry.name));
            Ok(reply.add(number, entry.next, kind(entry.file_type), name))
        });
        match self.calls().count(Call::Readdir, listed) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.list(number, offset, |entry| {
            let (number, name) = (self.numbers.of(entry.nid), OsStr::from_bytes(entry.name));
            let attributes = attributes(&self.entry(entry)?, number);
            Ok(reply.add(number, entry.next, name, &FOREVER, &attributes, GENERATION))
        });
        match self.calls().count(Call::Readdirplus, listed) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        xattrs::answer(self.calls().count(Call::Getxattr, self.xattr(number, name)), size, reply);
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        xattrs::answer(self.calls().count(Call::Listxattr, self.xattr_names(number)), size, reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.calls().hit(Call::Statfs);
        let (block, longest) = (u32::try_from(BLOCK), u32::try_from(MAX_NAME));
        let (block, longest) = (block.unwrap_or(u32::MAX), longest.unwrap_or(u32::MAX));
        let inodes = self.image.bootstrap().inodes();
        reply.statfs(self.blocks(), 0, 0, inodes, 0, block, longest, block);
    }
}

/// The image's metadata is not what it should be.
pub(super) fn wrong(error: RafsError) -> Errno {
    failed(&ReadError::Image(error))
}
