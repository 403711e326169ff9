//! Trees and folders in one form that can be compared, and tools to make them.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path as FsPath;
use std::process::Command;

use content::{BlobHasher, Digest};
use layer::{FileData, Member, Options, Part, ReadError, read_layer};
use rustix::fs::{SeekFrom, seek};
use tree::{Inode, Kind, Layer, Path, Time, Tree};

/// What a file holds: its size, and a digest over the blocks that are not all zeros, so that holes
/// cost nothing and are equal to zeros.
pub(crate) type Content = (u64, Digest);

const BLOCK: u64 = 4096;

/// Takes bytes at places, in order.
struct Blocks {
    hasher: BlobHasher,
    number: u64,
    block: Vec<u8>,
}

impl Blocks {
    fn new() -> Self {
        Self { hasher: BlobHasher::new(), number: 0, block: vec![0; 4096] }
    }

    fn put(&mut self, mut at: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if at / BLOCK != self.number {
                self.flush();
                self.number = at / BLOCK;
            }
            let from = usize::try_from(at % BLOCK).unwrap();
            let (now, later) = bytes.split_at(bytes.len().min(4096 - from));
            self.block[from..from + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            bytes = later;
        }
    }

    fn flush(&mut self) {
        if self.block.iter().any(|byte| *byte != 0) {
            self.hasher.update(&self.number.to_le_bytes());
            self.hasher.update(&self.block);
            self.block.fill(0);
        }
    }

    fn finish(mut self) -> Digest {
        self.flush();
        self.hasher.finish()
    }
}

pub(crate) fn take(_: &Member, data: &mut FileData<'_>) -> io::Result<Content> {
    let (mut blocks, mut at, mut buffer) = (Blocks::new(), 0, vec![0; 64 << 10]);
    while let Some(part) = data.part() {
        if let Part::Hole(length) = part {
            at += data.skip_hole(length);
        } else {
            let read = data.read(&mut buffer)?;
            blocks.put(at, &buffer[..read]);
            at += read as u64;
        }
    }
    assert_eq!(at, data.size());
    Ok((data.size(), blocks.finish()))
}

/// The same of a file on disk.
fn content_of(path: &FsPath) -> Content {
    let mut file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let (mut blocks, mut at, mut buffer) = (Blocks::new(), 0, vec![0; 64 << 10]);
    while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
        let hole = seek(&file, SeekFrom::Hole(data)).unwrap();
        seek(&file, SeekFrom::Start(data)).unwrap();
        at = data;
        while at < hole {
            let read = file.read(&mut buffer).unwrap();
            blocks.put(at, &buffer[..read]);
            at += read as u64;
        }
    }
    (size, blocks.finish())
}

/// One file, as text apart from its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) mtime: Option<Time>,
}

pub(crate) type Listing = BTreeMap<Path, Line>;

fn xattrs_text<'a>(xattrs: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> String {
    let one = |(name, value): (&Vec<u8>, &Vec<u8>)| {
        format!(" {}={}", name.escape_ascii(), value.escape_ascii())
    };
    xattrs.map(one).collect()
}

/// What a tree says; times of directories that nobody described are left open.
pub(crate) fn list_tree(tree: &Tree<Content>) -> Listing {
    let mut listing = Listing::new();
    let mut groups = BTreeMap::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let path = walk.path();
        let inode: &Inode<Content> = visit.inode;
        let kind = match inode.kind() {
            Kind::Directory(_) => "dir".to_owned(),
            Kind::File((size, digest)) => format!("file {size} {digest}"),
            Kind::Symlink(target) => format!("-> {}", target.escape_ascii()),
            Kind::CharDevice(device) => format!("char {}:{}", device.major, device.minor),
            Kind::BlockDevice(device) => format!("block {}:{}", device.major, device.minor),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Socket => "socket".to_owned(),
        };
        let mut group = String::new();
        if inode.links() > 1 {
            let first = groups.entry(visit.id).or_insert_with(|| path.clone());
            group = format!(" linked x{} with {first}", inode.links());
        }
        let meta = &inode.meta;
        let what = format!(
            "{kind} {:o} {}:{}{}{group}",
            meta.mode.bits(),
            meta.uid,
            meta.gid,
            xattrs_text(meta.xattrs.iter())
        );
        let open = inode.is_directory() && meta.mtime == Time::EPOCH;
        listing.insert(path, Line { what, mtime: (!open).then_some(meta.mtime) });
    }
    listing
}

/// What a folder holds.
pub(crate) fn list_folder(top: &FsPath) -> Listing {
    let mut paths = vec![top.to_owned()];
    let mut at = 0;
    while let Some(path) = paths.get(at).cloned() {
        at += 1;
        if path.symlink_metadata().unwrap().is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let relative = |path: &FsPath| {
        Path::parse(path.strip_prefix(top).unwrap().as_os_str().as_bytes()).unwrap()
    };
    let mut paths: Vec<_> = paths.into_iter().map(|path| (relative(&path), path)).collect();
    paths.sort();
    let mut groups = BTreeMap::new();
    paths
        .iter()
        .map(|(path, on_disk)| (path.clone(), line_of(path, on_disk, &mut groups)))
        .collect()
}

fn line_of(path: &Path, on_disk: &FsPath, groups: &mut BTreeMap<u64, Path>) -> Line {
    let meta = on_disk.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let rdev = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let text = if kind.is_dir() {
        "dir".to_owned()
    } else if kind.is_file() {
        let (size, digest) = content_of(on_disk);
        format!("file {size} {digest}")
    } else if kind.is_symlink() {
        format!("-> {}", fs::read_link(on_disk).unwrap().as_os_str().as_bytes().escape_ascii())
    } else if kind.is_char_device() {
        format!("char {}:{}", rdev.0, rdev.1)
    } else if kind.is_block_device() {
        format!("block {}:{}", rdev.0, rdev.1)
    } else {
        assert!(kind.is_fifo());
        "fifo".to_owned()
    };
    let mut group = String::new();
    if !kind.is_dir() && meta.nlink() > 1 {
        let first = groups.entry(meta.ino()).or_insert_with(|| path.clone());
        group = format!(" linked x{} with {first}", meta.nlink());
    }
    let xattrs = xattrs_of(on_disk);
    let what = format!(
        "{text} {:o} {}:{}{}{group}",
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        xattrs_text(xattrs.iter())
    );
    let nanoseconds = u32::try_from(meta.mtime_nsec()).unwrap();
    Line { what, mtime: Time::new(meta.mtime(), nanoseconds) }
}

fn xattrs_of(path: &FsPath) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0_u8; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0_u8; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// That two listings are the same, telling all that is not.
pub(crate) fn assert_same(ours: &Listing, theirs: &Listing, what: &str) {
    let mut wrong = Vec::new();
    for (path, line) in ours {
        match theirs.get(path) {
            None => wrong.push(format!("{path}: only ours: {line:?}")),
            Some(other) => {
                let same_time =
                    line.mtime.is_none() || other.mtime.is_none() || line.mtime == other.mtime;
                if line.what != other.what || !same_time {
                    wrong.push(format!("{path}:\n   ours {line:?}\n theirs {other:?}"));
                }
            }
        }
    }
    for (path, line) in theirs.iter().filter(|(path, _)| !ours.contains_key(path)) {
        wrong.push(format!("{path}: only theirs: {line:?}"));
    }
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

pub(crate) fn read(bytes: &[u8]) -> Result<Layer<Content>, ReadError<io::Error>> {
    read_layer(bytes, &Options::default(), take)
}

/// A layer over nothing.
pub(crate) fn tree_of(bytes: &[u8]) -> Tree<Content> {
    tree::stack(Tree::default(), read(bytes).unwrap()).unwrap()
}

pub(crate) fn run(program: &str, arguments: &[&str], at: &FsPath) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(at)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether we may make devices and give files away; says so aloud if not.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!(
            "{test} makes devices and gives files away: it was not run, because this is not root"
        );
    }
    root
}

pub(crate) fn tree_path(text: &str) -> Path {
    Path::parse(text.as_bytes()).unwrap()
}
