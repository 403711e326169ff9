//! What the tests share: a directory on disk as a tree, and the samples.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod layout;
pub(crate) mod mount;

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use content::Digest;
use image_builder::compare::{Judge, compare};
use tree::{Device, Inode, InodeId, Meta, Mode, Name, Time, Tree};

/// A file's length, and the digest of its bytes.
pub(crate) type Whole = (u64, Digest);

pub(crate) struct SameBytes;

impl Judge<Whole, Whole> for SameBytes {
    fn same_content(&mut self, a: &Whole, b: &Whole) -> bool {
        a == b
    }
}

/// What differs, in words.
pub(crate) fn differences(a: &Tree<Whole>, b: &Tree<Whole>) -> Vec<String> {
    compare(a, b, &mut SameBytes).iter().map(ToString::to_string).collect()
}

fn xattrs(path: &Path) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0_u8; 70_000];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0_u8; 70_000];
            let c_name = CString::new(name).unwrap();
            let length = rustix::fs::lgetxattr(path, c_name.as_c_str(), &mut value).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

fn meta(path: &Path) -> (fs::Metadata, Meta) {
    let stat = fs::symlink_metadata(path).unwrap();
    let meta = Meta {
        mode: Mode::new(u16::try_from(stat.mode() & 0o7777).unwrap()),
        uid: stat.uid(),
        gid: stat.gid(),
        mtime: Time::new(stat.mtime(), u32::try_from(stat.mtime_nsec()).unwrap()).unwrap(),
        xattrs: xattrs(path),
    };
    (stat, meta)
}

/// What is on disk under `root`, as a tree.
pub(crate) fn scan(root: &Path) -> Tree<Whole> {
    let mut tree = Tree::new(meta(root).1);
    let mut links: HashMap<(u64, u64), InodeId> = HashMap::new();
    let mut pending = vec![(root.to_owned(), InodeId::ROOT)];
    while let Some((folder, parent)) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = Name::new(path.file_name().map(OsStr::as_bytes).unwrap()).unwrap();
            let (stat, meta) = meta(&path);
            if let Some(id) = links.get(&(stat.dev(), stat.ino())) {
                tree.link(parent, name, *id).unwrap();
                continue;
            }
            let number = stat.rdev();
            let device =
                Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) };
            let kind = stat.file_type();
            let inode = if kind.is_dir() {
                Inode::directory(meta)
            } else if kind.is_symlink() {
                Inode::symlink(meta, fs::read_link(&path).unwrap().as_os_str().as_bytes())
            } else if kind.is_fifo() {
                Inode::fifo(meta)
            } else if kind.is_socket() {
                Inode::socket(meta)
            } else if kind.is_char_device() {
                Inode::char_device(meta, device)
            } else if kind.is_block_device() {
                Inode::block_device(meta, device)
            } else {
                let mut file = fs::File::open(&path).unwrap();
                let mut hasher = HashWriter(content::BlobHasher::new());
                std::io::copy(&mut file, &mut hasher).unwrap();
                Inode::file(meta, (stat.len(), hasher.0.finish()))
            };
            let id = tree.insert(parent, name, inode).unwrap();
            if kind.is_dir() {
                pending.push((path, id));
            } else if stat.nlink() > 1 {
                links.insert((stat.dev(), stat.ino()), id);
            }
        }
    }
    tree
}

struct HashWriter(content::BlobHasher);

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The file that has a sample's bootstrap.
pub(crate) fn bootstrap(sample: &Path) -> PathBuf {
    let own = sample.join("bootstrap");
    if own.is_file() {
        return own;
    }
    fs::read_dir(sample.join("blobs")).unwrap().next().unwrap().unwrap().path()
}

/// Whether files of all kinds can be made here; says aloud if not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: this needs root");
    }
    root
}
