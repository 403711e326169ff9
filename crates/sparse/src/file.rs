//! The sparse file itself.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fixedbitset::FixedBitSet;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags};

use crate::blocks::{Blocks, State};
use crate::error::SparseError;
use crate::map::{Map, Shape};
use crate::steps::step;

/// A file of fixed length that knows which of its blocks are there. See the crate's documentation.
#[derive(Debug)]
pub struct SparseFile {
    data_path: PathBuf,
    map_path: PathBuf,
    shape: Shape,
    blocks: Mutex<Blocks>,
    unclaimed: Condvar,
    map: Mutex<Map>,
    handles: Mutex<Handles>,
}

#[derive(Debug)]
enum Handles {
    Closed,
    Open(Arc<Files>),
    Deleted,
}

#[derive(Debug)]
struct Files {
    data: Arc<File>,
    map: File,
    read_only: bool,
}

impl SparseFile {
    /// Makes `path`.data and `path`.map for `length` bytes in blocks of `block_size`, in place of
    /// whatever stood there. The folder must exist.
    ///
    /// # Errors
    /// If the shape makes no sense, or the file system refuses.
    pub fn create(path: &Path, length: u64, block_size: u32) -> Result<Self, SparseError> {
        let shape =
            Shape::new(length, block_size).ok_or(SparseError::Shape { length, block_size })?;
        let (data_path, map_path) = paths(path);
        // A map without its data is a leftover, data without a map too: so the old map goes first
        // and the new one comes last.
        remove(&map_path)?;
        let data = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&data_path)
            .map_err(SparseError::io("create", &data_path))?;
        step("data file made");
        data.set_len(length).map_err(SparseError::io("size", &data_path))?;
        step("data file sized");
        let map = Map::create(&map_path, shape)?;
        let nothing = FixedBitSet::with_capacity(shape.blocks as usize);
        Ok(Self::new(data_path, map_path, shape, map, nothing))
    }

    /// Opens what [`Self::create`] made in an earlier run: its recorded blocks are claims. Only the
    /// map is read; the data file is opened when it is first needed. Bytes that a crash left in
    /// other blocks, provisional ones for instance, are given back to the file system.
    ///
    /// # Errors
    /// If the map cannot be read or is none, or there is no data file.
    pub fn open(path: &Path) -> Result<Self, SparseError> {
        let (data_path, map_path) = paths(path);
        let (map, shape) = Map::read(&map_path)?;
        let recorded = map.blocks(shape);
        let meta = fs::metadata(&data_path).map_err(SparseError::io("stat", &data_path))?;
        let file = Self::new(data_path, map_path, shape, map, recorded);
        // Less than a block may be the file system's own rounding.
        if meta.blocks() * 512 > file.held() + u64::from(shape.block_size) {
            file.punch_absent();
        }
        Ok(file)
    }

    /// A file that has no place on any disk: none of its blocks is ever there, and whoever writes
    /// one is told that it was deleted. `path` names it in errors.
    ///
    /// # Errors
    /// If the shape makes no sense.
    pub fn nowhere(path: &Path, length: u64, block_size: u32) -> Result<Self, SparseError> {
        let shape =
            Shape::new(length, block_size).ok_or(SparseError::Shape { length, block_size })?;
        let (data_path, map_path) = paths(path);
        let nothing = FixedBitSet::with_capacity(shape.blocks as usize);
        let file = Self::new(data_path, map_path, shape, Map::empty(shape), nothing);
        *lock(&file.handles) = Handles::Deleted;
        lock(&file.blocks).delete();
        Ok(file)
    }

    /// Gives back what lies in absent blocks. Where that cannot be done, it stays until the file
    /// goes.
    fn punch_absent(&self) {
        let local = self.local();
        let mut absent = local.zeroes().peekable();
        while let Some(first) = absent.next() {
            let mut end = first + 1;
            while absent.next_if_eq(&end).is_some() {
                end += 1;
            }
            let size = u64::from(self.shape.block_size);
            let hole = (first as u64 * size, (end - first) as u64 * size);
            let Ok(files) = self.files_to_write() else {
                break;
            };
            if self.punch(&files, hole.0, hole.1).is_err() {
                break;
            }
        }
        self.release();
    }

    fn punch(&self, files: &Files, offset: u64, length: u64) -> Result<(), SparseError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&files.data, flags, offset, length) {
            // Without holes the space is given back when the file goes, or is written anew.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(SparseError::io("punch", &self.data_path)(errno.into())),
        }
    }

    fn new(data: PathBuf, map_path: PathBuf, shape: Shape, map: Map, known: FixedBitSet) -> Self {
        Self {
            data_path: data,
            map_path,
            shape,
            blocks: Mutex::new(Blocks::new(shape.length, shape.block_size, known)),
            unclaimed: Condvar::new(),
            map: Mutex::new(map),
            handles: Mutex::new(Handles::Closed),
        }
    }

    /// The data file's length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.shape.length
    }

    /// The size of every block but the last.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        self.shape.block_size
    }

    /// How many blocks there are.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.shape.blocks
    }

    /// Where the data is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.data_path
    }

    /// Where block `block` begins, and how many bytes it has; `None` if there is no such block.
    #[must_use]
    pub fn extent(&self, block: u32) -> Option<(u64, usize)> {
        let size = u64::from(self.shape.block_size);
        let start = u64::from(block) * size;
        let length = self.shape.length.checked_sub(start)?.min(size);
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        Some((start, length))
    }

    /// What is known of a block; [`State::Absent`] if there is no such block.
    #[must_use]
    pub fn state(&self, block: u32) -> State {
        lock(&self.blocks).state(block)
    }

    /// The blocks that are present.
    #[must_use]
    pub fn present(&self) -> FixedBitSet {
        lock(&self.blocks).present().clone()
    }

    /// The blocks that are present or recorded: what may be claimed.
    #[must_use]
    pub fn recorded_and_present(&self) -> FixedBitSet {
        lock(&self.blocks).recorded_and_present()
    }

    /// The blocks that are provisional.
    #[must_use]
    pub fn provisional(&self) -> FixedBitSet {
        lock(&self.blocks).provisional().clone()
    }

    /// The blocks that are not absent.
    #[must_use]
    pub fn local(&self) -> FixedBitSet {
        lock(&self.blocks).local()
    }

    /// Whether all of `blocks` are present.
    #[must_use]
    pub fn are_present(&self, blocks: std::ops::Range<u32>) -> bool {
        let states = lock(&self.blocks);
        let range = blocks.start as usize..blocks.end as usize;
        blocks.end <= self.shape.blocks && states.present().contains_all_in_range(range)
    }

    /// How often bytes went away: blocks that were dropped or are being overwritten, or the file
    /// itself. Equal before and after [`Self::data`] was read or sent from: the blocks that were
    /// present before stayed what they were.
    #[must_use]
    pub fn drops(&self) -> u64 {
        lock(&self.blocks).drops()
    }

    /// How many bytes all blocks that are not absent have together.
    #[must_use]
    pub fn held(&self) -> u64 {
        lock(&self.blocks).held()
    }

    /// How many bytes the two files take on the disk, as the file system counts.
    ///
    /// # Errors
    /// If the file system does not say.
    pub fn disk_usage(&self) -> Result<u64, SparseError> {
        // The unit of st_blocks is 512 bytes, whatever the file system's own (stat(3type)).
        let taken = |path: &PathBuf| {
            fs::metadata(path)
                .map(|meta| meta.blocks() * 512)
                .map_err(SparseError::io("stat", path))
        };
        Ok(taken(&self.data_path)? + taken(&self.map_path)?)
    }

    /// Writes a block whose bytes the caller has verified: it is then present and recorded. Says
    /// whether anything was written: bytes that are present already are left alone.
    ///
    /// # Errors
    /// If the bytes do not fill the block, or the disk refuses; the block is then absent.
    pub fn write(&self, block: u32, bytes: &[u8]) -> Result<bool, SparseError> {
        let offset = self.fits(block, bytes)?;
        let files = self.files_to_write()?;
        let claim = self.claim(block);
        if claim.before == State::Present {
            return Ok(false);
        }
        self.overwrite(&claim, &files, offset, bytes)?;
        self.record(&files, block, true)?;
        step("bit set");
        claim.end(State::Present);
        Ok(true)
    }

    /// Writes a block whose bytes are not yet known to be right. Bytes that are present, or
    /// provisional already, are left alone. Says whether anything was written.
    ///
    /// # Errors
    /// If the bytes do not fill the block, or the disk refuses; the block is then absent.
    pub fn write_provisional(&self, block: u32, bytes: &[u8]) -> Result<bool, SparseError> {
        let offset = self.fits(block, bytes)?;
        let files = self.files_to_write()?;
        let claim = self.claim(block);
        if matches!(claim.before, State::Present | State::Provisional) {
            return Ok(false);
        }
        self.overwrite(&claim, &files, offset, bytes)?;
        claim.end(State::Provisional);
        Ok(true)
    }

    /// Puts bytes in the place of what is not present. Until the claim ends with a state, the
    /// block is absent, here and in the map.
    fn overwrite(
        &self,
        claim: &Claim<'_>,
        files: &Files,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), SparseError> {
        if claim.before != State::Absent {
            lock(&self.blocks).set(claim.block, State::Absent);
        }
        if claim.before == State::Recorded {
            self.record(files, claim.block, false)?;
            step("bit cleared before overwriting");
        }
        let written = files.data.write_all_at(bytes, offset);
        written.map_err(SparseError::io("write", &self.data_path))?;
        step("data written");
        Ok(())
    }

    /// The caller has verified a recorded block's bytes: it is present. Says whether it was
    /// recorded; any other state is left as it is.
    pub fn confirm(&self, block: u32) -> bool {
        let claim = self.claim(block);
        let recorded = claim.before == State::Recorded;
        if recorded {
            claim.end(State::Present);
        }
        recorded
    }

    /// The caller has verified a provisional block's bytes: it is present and recorded. Says
    /// whether it was provisional; any other state is left as it is.
    ///
    /// # Errors
    /// If the disk refuses; the block then stays provisional.
    pub fn promote(&self, block: u32) -> Result<bool, SparseError> {
        let files = self.files_to_write()?;
        let claim = self.claim(block);
        let provisional = claim.before == State::Provisional;
        if provisional {
            self.record(&files, block, true)?;
            step("bit of a provisional block set");
            claim.end(State::Present);
        }
        Ok(provisional)
    }

    /// Forgets a block and gives its space back: clears its bit first, then punches a hole.
    ///
    /// # Errors
    /// If the disk refuses; the block is absent for this run all the same.
    pub fn drop_block(&self, block: u32) -> Result<(), SparseError> {
        self.drop_if(block, |_| true).map(|_| ())
    }

    /// Forgets a recorded block whose bytes turned out wrong; any other state is left as it is, for
    /// somebody else may have written the block anew. Says whether it was recorded.
    ///
    /// # Errors
    /// If the disk refuses; the block is absent for this run all the same.
    pub fn reject(&self, block: u32) -> Result<bool, SparseError> {
        self.drop_if(block, |state| state == State::Recorded)
    }

    fn drop_if(&self, block: u32, wanted: fn(State) -> bool) -> Result<bool, SparseError> {
        let Some((offset, _)) = self.extent(block) else {
            return Ok(false);
        };
        let claim = self.claim(block);
        let before = claim.before;
        if before == State::Absent || !wanted(before) {
            return Ok(false);
        }
        // Nobody begins to read it from here on, and who reads it now will see the drop counter.
        claim.mark(State::Absent);
        let files = self.files_to_write()?;
        if before != State::Provisional {
            self.record(&files, block, false)?;
            step("bit cleared");
        }
        // The hole's end is rounded up past a short last block, so that its last page goes too.
        let size = u64::from(self.shape.block_size);
        self.punch(&files, offset, size)?;
        step("hole punched");
        Ok(true)
    }

    /// A block's bytes as they are on disk and the state that they were read in; `None` if it is
    /// absent, or went away while it was read. Also `None` where the data file has become too
    /// short: what it lost is absent.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read_block(&self, block: u32) -> Result<Option<(State, Vec<u8>)>, SparseError> {
        let Some((offset, length)) = self.extent(block) else {
            return Ok(None);
        };
        loop {
            let (state, drops) = self.look(block);
            if state == State::Absent {
                return Ok(None);
            }
            let Some(bytes) = self.read_bytes(offset, length)? else {
                self.drop_block(block)?;
                return Ok(None);
            };
            // Bytes went away meanwhile, of this block or another: look again.
            if self.look(block).1 == drops {
                return Ok(Some((state, bytes)));
            }
        }
    }

    /// So many bytes from `offset`; `None` if the data file ends before.
    fn read_bytes(&self, offset: u64, length: usize) -> Result<Option<Vec<u8>>, SparseError> {
        let Some(files) = self.files_unless_deleted()? else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&files.data, spare_capacity(&mut bytes), at) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(SparseError::io("read", &self.data_path)(errno.into())),
            }
        }
        // A vector may have room for more than it was asked for.
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Reads bytes of present blocks only; false if one of them is not present.
    ///
    /// # Errors
    /// If the disk cannot be read, or the data file has become too short.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, SparseError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.shape.length {
            return Ok(false);
        }
        let size = u64::from(self.shape.block_size);
        let number = |block: u64| u32::try_from(block).unwrap_or(u32::MAX);
        let blocks = number(offset / size)..number(end.div_ceil(size));
        loop {
            let drops = lock(&self.blocks).drops();
            if !self.are_present(blocks.clone()) {
                return Ok(false);
            }
            let Some(files) = self.files_unless_deleted()? else {
                return Ok(false);
            };
            let read = files.data.read_exact_at(bytes, offset);
            read.map_err(SparseError::io("read", &self.data_path))?;
            if lock(&self.blocks).drops() == drops {
                return Ok(true);
            }
        }
    }

    /// The data file, for whoever sends straight from the page cache. Only ranges whose blocks
    /// [`Self::are_present`] hold anything that may be sent.
    ///
    /// # Errors
    /// If it cannot be opened, or was deleted.
    pub fn data(&self) -> Result<Arc<File>, SparseError> {
        self.files().map(|files| Arc::clone(&files.data))
    }

    /// Lets the kernel forget its copy of a block, so that the next read comes from the disk.
    pub fn uncache(&self, block: u32) {
        if let (Some((offset, length)), Ok(files)) = (self.extent(block), self.files()) {
            let length = std::num::NonZeroU64::new(length as u64);
            // Advice: whatever the kernel does with it, the bytes stay the same.
            let _ = rustix::fs::fadvise(&files.data, offset, length, Advice::DontNeed);
        }
    }

    /// Closes the two descriptors; they are opened again when they are needed.
    pub fn release(&self) {
        let mut handles = lock(&self.handles);
        if matches!(*handles, Handles::Open(_)) {
            *handles = Handles::Closed;
        }
    }

    /// Whether the descriptors are open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*lock(&self.handles), Handles::Open(_))
    }

    /// Removes both files, the map first. All blocks are then absent, nothing can be written any
    /// more, and who still has [`Self::data`] can go on reading it.
    ///
    /// # Errors
    /// If the file system refuses. Files that are gone already are no error.
    pub fn delete(&self) -> Result<(), SparseError> {
        // From here on no path is opened again: a new file may soon stand there.
        *lock(&self.handles) = Handles::Deleted;
        lock(&self.blocks).delete();
        remove(&self.map_path)?;
        step("map unlinked");
        remove(&self.data_path)?;
        step("data unlinked");
        Ok(())
    }

    fn look(&self, block: u32) -> (State, u64) {
        let blocks = lock(&self.blocks);
        (blocks.state(block), blocks.drops())
    }

    /// Where the block's bytes go, if `bytes` are as many as it has.
    fn fits(&self, block: u32, bytes: &[u8]) -> Result<u64, SparseError> {
        match self.extent(block) {
            Some((offset, length)) if length == bytes.len() => Ok(offset),
            _ => Err(SparseError::NoSuchBlock {
                path: self.data_path.clone(),
                block,
                bytes: bytes.len(),
            }),
        }
    }

    fn record(&self, files: &Files, block: u32, on: bool) -> Result<(), SparseError> {
        let written = lock(&self.map).write(&files.map, block, on);
        written.map_err(SparseError::io("write", &self.map_path))
    }

    fn files(&self) -> Result<Arc<Files>, SparseError> {
        let mut handles = lock(&self.handles);
        match &*handles {
            Handles::Open(files) => Ok(Arc::clone(files)),
            Handles::Deleted => Err(SparseError::Deleted { path: self.data_path.clone() }),
            Handles::Closed => {
                let files = Arc::new(self.open_files()?);
                *handles = Handles::Open(Arc::clone(&files));
                Ok(files)
            }
        }
    }

    /// The files for a reader, to whom a deleted file is an empty one.
    fn files_unless_deleted(&self) -> Result<Option<Arc<Files>>, SparseError> {
        match self.files() {
            Err(SparseError::Deleted { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The files for a writer, who is told plainly when the file system is read-only.
    fn files_to_write(&self) -> Result<Arc<Files>, SparseError> {
        let files = self.files()?;
        if !files.read_only {
            return Ok(files);
        }
        self.release(); // it may have become writable since it was opened
        let files = self.files()?;
        if files.read_only {
            let cause = rustix::io::Errno::ROFS.into();
            return Err(SparseError::io("write", &self.data_path)(cause));
        }
        Ok(files)
    }

    fn open_files(&self) -> Result<Files, SparseError> {
        let open = |path: &PathBuf| {
            let both = OpenOptions::new().read(true).write(true).open(path);
            match both {
                // A file system that has become read-only can still be read.
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    File::open(path).map(|file| (file, true))
                }
                other => other.map(|file| (file, false)),
            }
            .map_err(SparseError::io("open", path))
        };
        let (data, data_read_only) = open(&self.data_path)?;
        let (map, map_read_only) = open(&self.map_path)?;
        Ok(Files { data: Arc::new(data), map, read_only: data_read_only || map_read_only })
    }

    /// Waits until nobody else changes the block.
    fn claim(&self, block: u32) -> Claim<'_> {
        let mut blocks = lock(&self.blocks);
        if block >= self.shape.blocks {
            // Nothing to claim and nothing to change.
            let before = State::Absent;
            return Claim { file: self, block, before };
        }
        while !blocks.claim(block) {
            let woken = self.unclaimed.wait(blocks);
            blocks = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Claim { file: self, block, before: blocks.state(block) }
    }
}

/// The right to change one block. Dropping it gives the right back and leaves the state as marked.
struct Claim<'a> {
    file: &'a SparseFile,
    block: u32,
    before: State,
}

impl Claim<'_> {
    fn mark(&self, state: State) {
        lock(&self.file.blocks).set(self.block, state);
    }

    fn end(self, state: State) {
        self.mark(state);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.block < self.file.shape.blocks {
            lock(&self.file.blocks).unclaim(self.block);
            self.file.unclaimed.notify_all();
        }
    }
}

fn paths(path: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    (with(".data"), with(".map"))
}

fn remove(path: &Path) -> Result<(), SparseError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SparseError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Locks, whatever happened to another holder: the guarded values are valid after every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
