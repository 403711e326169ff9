//! Files on disk, never outside of the target.
//!
//! Nothing is made by path: each name is made in its directory, which is held open, and no link
//! is ever followed, so neither an image nor somebody who plays in the target while it is filled
//! can lead a write elsewhere.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path as FilePath;

use rafs::Content;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use tree::{Device, Inode, InodeId, Kind, Path, Step, Visit};

use crate::opened::{ChunkReader, OpenError, Opened};
use crate::zeros::write_sparse;

use super::UnpackError;
use super::file::{Described, Failed, Said, describe};
use super::place::{Place, c_name};

/// Whose the files will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owners {
    /// Those whose the image says: for root.
    Kept,
    /// Whoever unpacks. Devices, and attributes that only root may set, are left out.
    Mine,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Unpacked {
    /// Names that were made.
    pub names: u64,
    /// Bytes of regular files, holes among them.
    pub bytes: u64,
    /// Devices that were left out.
    pub skipped: u64,
}

/// Makes the image's tree in `target`, which must be empty or not there.
///
/// # Errors
/// If a chunk cannot be had, or something cannot be made. What was made so far stays.
pub fn to_directory(
    opened: &Opened,
    target: &FilePath,
    owners: Owners,
    progress: impl FnMut(u64),
) -> Result<Unpacked, UnpackError> {
    if owners == Owners::Kept && !rustix::process::geteuid().is_root() {
        return Err(UnpackError::NotRoot);
    }
    let place = open_target(target)?;
    let mut unpack = Unpack {
        chunks: ChunkReader::new(opened),
        place,
        owners,
        first_names: HashMap::new(),
        done: Unpacked::default(),
        progress,
    };
    let mut steps = opened.tree().steps();
    while let Some(step) = steps.next() {
        let path = steps.path();
        match step {
            Step::Enter(visit) => unpack.enter(path, &visit)?,
            Step::Leave(visit) => unpack.leave(path, &visit)?,
        }
    }
    Ok(unpack.done)
}

fn open_target(target: &FilePath) -> Result<Place, UnpackError> {
    let path = target.display().to_string();
    let opened = || -> io::Result<(Place, bool)> {
        match std::fs::create_dir(target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let empty = std::fs::read_dir(target)?.next().is_none();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok((Place::new(fs::open(target, flags, Mode::empty())?)?, empty))
    };
    match opened() {
        Ok((target, true)) => Ok(target),
        Ok((_, false)) => Err(UnpackError::NotEmpty(path)),
        Err(error) => Err(UnpackError::Target { path, error }),
    }
}

struct Unpack<'a, P> {
    chunks: ChunkReader<'a>,
    place: Place,
    owners: Owners,
    /// Of hard-linked files: where they were made.
    first_names: HashMap<InodeId, Path>,
    done: Unpacked,
    progress: P,
}

impl<P: FnMut(u64)> Unpack<'_, P> {
    fn enter(&mut self, path: &[u8], visit: &Visit<'_, Content>) -> Result<(), UnpackError> {
        let Some(name) = visit.name else { return Ok(()) };
        let name = name.as_bytes();
        let failed = |(what, error): Failed| UnpackError::Make { path: shown(path), what, error };
        self.done.names = self.done.names.saturating_add(1);
        if visit.inode.is_directory() {
            let made = self.place.make(name);
            return made.map_err(|e| failed(("the directory cannot be made", e)));
        }
        if let Some(first) = self.first_names.get(&visit.id) {
            return self.link(first, name).map_err(|e| failed(("the hard link cannot be made", e)));
        }
        match visit.inode.kind() {
            Kind::File(content) => self.file(path, name, visit.inode, content)?,
            _ => self.node(name, visit.inode).map_err(failed)?,
        }
        if visit.inode.links() > 1 {
            self.first_names.insert(visit.id, shown(path));
        }
        Ok(())
    }

    /// A directory is described when all is in it: what is made in it changes its time, and its
    /// mode may forbid it.
    fn leave(&mut self, path: &[u8], visit: &Visit<'_, Content>) -> Result<(), UnpackError> {
        let failed = |(what, error): Failed| UnpackError::Make { path: shown(path), what, error };
        let said = Said { meta: &visit.inode.meta, owners: self.owners, mode: true };
        if visit.name.is_none() {
            return describe(&Described::Open(self.place.here()), said).map_err(failed);
        }
        let left = self.place.leave().map_err(|e| failed(("its directory cannot be left", e)))?;
        let Some(left) = left else { return Ok(()) };
        describe(&Described::open(&left), said).map_err(failed)
    }

    fn link(&self, first: &Path, name: &[u8]) -> io::Result<()> {
        let parent = self.place.parent_of(first)?;
        let Some((_, last)) = first.split() else { return Ok(()) };
        let (old, new) = (c_name(last.as_bytes())?, c_name(name)?);
        Ok(fs::linkat(parent, &old, self.place.here(), &new, AtFlags::empty())?)
    }

    fn file(
        &mut self,
        path: &[u8],
        name: &[u8],
        inode: &Inode<Content>,
        content: &Content,
    ) -> Result<(), UnpackError> {
        let failed = |(what, error): Failed| UnpackError::Make { path: shown(path), what, error };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || -> io::Result<File> {
            let mode = Mode::RUSR | Mode::WUSR;
            Ok(File::from(fs::openat(self.place.here(), &c_name(name)?, flags, mode)?))
        };
        let file = open().map_err(|e| failed(("the file cannot be made", e)))?;
        self.chunks
            .each(content, |at, bytes| {
                let written = write_sparse(&file, at, bytes);
                written.map_err(|e| Copy::Make(("its bytes cannot be written", e)))
            })
            .map_err(|error| match error {
                Copy::Open(error) => error.into(),
                Copy::Make(error) => failed(error),
            })?;
        // What ends with a hole is not as long yet.
        file.set_len(content.size).map_err(|e| failed(("its length cannot be set", e)))?;
        let said = Said { meta: &inode.meta, owners: self.owners, mode: true };
        describe(&Described::open(&file), said).map_err(failed)?;
        self.done.bytes = self.done.bytes.saturating_add(content.size);
        (self.progress)(content.size);
        Ok(())
    }

    /// Anything but files and directories.
    fn node(&mut self, name: &[u8], inode: &Inode<Content>) -> Result<(), Failed> {
        let here = self.place.here();
        let named = c_name(name).map_err(|e| ("its name cannot be", e))?;
        let node = |file_type, device: Device| {
            let number = fs::makedev(device.major, device.minor);
            let made = fs::mknodat(here, &named, file_type, Mode::RUSR | Mode::WUSR, number);
            made.map_err(|e| ("it cannot be made", e.into()))
        };
        let none = Device { major: 0, minor: 0 };
        let mut mode = true;
        match inode.kind() {
            Kind::CharDevice(_) | Kind::BlockDevice(_) if self.owners == Owners::Mine => {
                self.done.skipped = self.done.skipped.saturating_add(1);
                return Ok(());
            }
            Kind::CharDevice(device) => node(FileType::CharacterDevice, *device)?,
            Kind::BlockDevice(device) => node(FileType::BlockDevice, *device)?,
            Kind::Fifo => node(FileType::Fifo, none)?,
            Kind::Socket => node(FileType::Socket, none)?,
            Kind::Symlink(target) => {
                mode = false;
                let target = c_name(target).map_err(|e| ("its target cannot be", e))?;
                fs::symlinkat(&target, here, &named)
                    .map_err(|e| ("the link cannot be made", e.into()))?;
            }
            Kind::Directory(_) | Kind::File(_) => return Ok(()),
        }
        let said = Said { meta: &inode.meta, owners: self.owners, mode };
        describe(&Described::Named(here, name), said)
    }
}

/// Why a file's bytes did not come to its place.
enum Copy {
    Open(OpenError),
    Make(Failed),
}

impl From<OpenError> for Copy {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

fn shown(path: &[u8]) -> Path {
    // It came from a tree.
    Path::parse(path).unwrap_or_default()
}
