//! Large files that are all here: the kernel reads a copy of each itself (FUSE passthrough).
//!
//! The kernel takes a backing file for an inode, from its first byte on, and in the chunk cache a
//! file's bytes lie somewhere in a blob. So a large file that turns out to be whole when it is opened
//! is copied, once for each mount, out of verified chunks; from the next time that nobody has it open
//! the kernel reads the copy, at the speed of the disk's own file system. Copies have no name: they go
//! with the mount or the process, and no other process can find one. Together they take an eighth of
//! the cache's quota at most.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fuser::{BackingId, FileHandle, FopenFlags, ReplyOpen};
use lazy::{Budget, LazyImage, Of, Taken};
use rafs::bootstrap::{Inode, Nid};
use rustix::fs::{FallocateFlags, IFlags, ioctl_getflags, ioctl_setflags};
use sys::Mapping;

use super::readers::Readers;
use crate::lock::lock;

/// A file of so many bytes is large: reading it takes much longer than asking for it.
const LARGE: u64 = 8 << 20;

/// So much is copied at once, in bytes.
const STEP: u64 = 1 << 20;

/// What an opened file is called that the kernel reads itself.
const BACKED: FileHandle = FileHandle(1);

/// What all others are called.
const SERVED: FileHandle = FileHandle(0);

/// Where copies are, and how many more bytes there may be: of all mounts of a process.
#[derive(Debug)]
pub struct Space {
    folder: PathBuf,
    left: Budget,
}

impl Space {
    /// Copies lie in `folder`, `bytes` of them at most.
    #[must_use]
    pub fn new(folder: PathBuf, bytes: u64) -> Self {
        Self { folder, left: Budget::new(bytes) }
    }

    /// An unnamed file of `size` bytes, if there is space.
    fn make(&self, size: u64) -> Option<Copied> {
        let taken = self.left.take(size)?;
        let file = tempfile::tempfile_in(&self.folder).and_then(|file| {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size)?;
            // Nobody asks when it was read last, and a small read is the cheaper for it. Some file
            // systems have no such flag.
            let _ = ioctl_getflags(&file).and_then(|f| ioctl_setflags(&file, f | IFlags::NOATIME));
            Ok(file)
        });
        let file = file.map_err(|error| tracing::debug!(%error, "a file is not copied")).ok()?;
        Some(Copied { file, _taken: taken })
    }
}

/// A file's bytes in a file of their own.
#[derive(Debug)]
struct Copied {
    file: File,
    _taken: Taken,
}

/// The large files of one mount that were opened.
#[derive(Debug)]
pub(super) struct Copies {
    space: Arc<Space>,
    files: Arc<Mutex<HashMap<Nid, Large>>>,
}

#[derive(Debug, Default)]
struct Large {
    /// How many have it open whom we serve. The kernel does not let both ways be used at once.
    served: u64,
    copy: State,
}

#[derive(Debug, Default)]
enum State {
    /// It was not whole so far.
    #[default]
    None,
    /// Somebody copies it.
    Making,
    Made(Copied),
    /// The kernel has it; the copy stays as long as the kernel may read it.
    Known(BackingId, #[expect(dead_code, reason = "kept")] Copied),
    /// The kernel does not take it, or there is no room.
    Refused,
}

impl Copies {
    pub(super) fn new(space: Arc<Space>) -> Self {
        Self { space, files: Arc::default() }
    }

    /// Answers that a file was opened.
    pub(super) fn opened(
        &self,
        inode: Inode,
        image: &Arc<LazyImage<Mapping>>,
        readers: &Readers,
        reply: ReplyOpen,
    ) {
        let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        if inode.size < LARGE {
            return reply.opened(SERVED, flags);
        }
        let mut files = lock(&self.files);
        let large = files.entry(inode.nid).or_default();
        if large.served == 0 {
            large.introduce(&reply);
        }
        if let State::Known(id, _) = &large.copy {
            return reply.opened_passthrough(BACKED, FopenFlags::empty(), id);
        }
        large.served = large.served.saturating_add(1);
        if matches!(large.copy, State::None) && image.is_here(&inode) {
            large.copy = State::Making;
            self.start(inode, Arc::clone(image), readers);
        }
        drop(files);
        reply.opened(SERVED, flags);
    }

    /// Somebody has closed a file.
    pub(super) fn closed(&self, inode: &Inode, handle: FileHandle) {
        if inode.size >= LARGE
            && handle == SERVED
            && let Some(large) = lock(&self.files).get_mut(&inode.nid)
        {
            large.served = large.served.saturating_sub(1);
        }
    }

    /// Copies a file, in a thread that may take its time.
    fn start(&self, inode: Inode, image: Arc<LazyImage<Mapping>>, readers: &Readers) {
        let (files, space) = (Arc::clone(&self.files), Arc::clone(&self.space));
        let buffers = readers.clone();
        readers.spawn(move || {
            let copy = space.make(inode.size).map_or(State::Refused, |copy| {
                if fill(&copy.file, &inode, &image, &buffers) {
                    State::Made(copy)
                } else {
                    State::None
                }
            });
            if let Some(large) = lock(&files).get_mut(&inode.nid) {
                large.copy = copy;
            }
        });
    }
}

impl Large {
    /// Tells the kernel of a copy that was made.
    fn introduce(&mut self, reply: &ReplyOpen) {
        self.copy = match std::mem::take(&mut self.copy) {
            State::Made(copy) => match reply.open_backing(&copy.file) {
                Ok(id) => State::Known(id, copy),
                Err(error) => {
                    tracing::debug!(%error, "the kernel takes no file behind a file");
                    State::Refused
                }
            },
            other => other,
        };
    }
}

/// Whether all of a file could be copied: it was there, and the disk took it.
fn fill(to: &File, inode: &Inode, image: &LazyImage<Mapping>, buffers: &Readers) -> bool {
    let of = Of::File(*inode);
    let mut offset = 0_u64;
    while offset < inode.size {
        let length = image.span(&of, offset, usize::try_from(STEP).unwrap_or(usize::MAX));
        let mut buffer = buffers.buffer(length);
        if !image.read_here(&of, offset, &mut buffer).unwrap_or(false)
            || to.write_all_at(&buffer, offset).is_err()
        {
            return false;
        }
        offset = offset.saturating_add(length as u64);
    }
    true
}
