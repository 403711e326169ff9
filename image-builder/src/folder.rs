//! A folder as the tar of one layer: sorted, so that the same folder is the same tar.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use layer::{Member, MemberKind, TarWriter};
use rustix::fs::{lgetxattr, llistxattr, major, minor};
use tree::{Device, Meta, Mode, Time};

/// So long a list of names of attributes, or a value, may be: Linux's own limit.
const XATTR_LIMIT: usize = 64 << 10;

/// Writes the tar of all that is in `folder`, and of the folder itself as the root. Sockets are
/// left out.
///
/// # Errors
/// If something cannot be read, or changes meanwhile.
pub fn write_tar(folder: &Path, out: impl Write) -> io::Result<()> {
    let mut tar = TarWriter::new(out);
    // Of hard-linked files, the first name by device and inode.
    let mut linked = BTreeMap::<(u64, u64), Vec<u8>>::new();
    let mut open = vec![(folder.to_owned(), Vec::new())];
    while let Some((path, name)) = open.pop() {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let found = fs::symlink_metadata(&path).map_err(told)?;
        put(&mut tar, &path, &name, &found, &mut linked).map_err(told)?;
        if found.is_dir() {
            open.extend(entries(&path, &name).map_err(told)?);
        }
    }
    tar.finish()?.flush()
}

/// What is in a folder, the last first: the list is taken from its end.
fn entries(path: &Path, name: &[u8]) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.file_name();
        let slash: &[u8] = if name.is_empty() { b"" } else { b"/" };
        entries.push((path.join(&file), [name, slash, file.as_bytes()].concat()));
    }
    entries.sort_unstable_by(|a, b| b.1.cmp(&a.1));
    Ok(entries)
}

fn put(
    tar: &mut TarWriter<impl Write>,
    path: &Path,
    name: &[u8],
    found: &Metadata,
    linked: &mut BTreeMap<(u64, u64), Vec<u8>>,
) -> io::Result<()> {
    let Some(kind) = kind(found) else { return Ok(()) };
    let name = if name.is_empty() { b"./".to_vec() } else { name.to_vec() };
    let mut member = Member {
        path: name.clone(),
        kind,
        link: Vec::new(),
        meta: meta(path, found)?,
        size: 0,
        extents: Vec::new(),
    };
    if !found.is_dir() && found.nlink() > 1 {
        if let Some(first) = linked.get(&(found.dev(), found.ino())) {
            (member.kind, member.link) = (MemberKind::HardLink, first.clone());
            return tar.append(&member, |_| Ok(())).map_err(io::Error::other);
        }
        linked.insert((found.dev(), found.ino()), name);
    }
    match member.kind {
        MemberKind::File => {
            member.size = found.len();
            let mut file = File::open(path)?;
            tar.append(&member, |mut out| io::copy(&mut file, &mut out).map(|_| ()))
        }
        MemberKind::Symlink => {
            member.link = fs::read_link(path)?.into_os_string().as_bytes().to_vec();
            tar.append(&member, |_| Ok(()))
        }
        _ => tar.append(&member, |_| Ok(())),
    }
    .map_err(io::Error::other)
}

fn kind(found: &Metadata) -> Option<MemberKind> {
    let kind = found.file_type();
    let device = Device { major: major(found.rdev()), minor: minor(found.rdev()) };
    Some(if kind.is_dir() {
        MemberKind::Directory
    } else if kind.is_file() {
        MemberKind::File
    } else if kind.is_symlink() {
        MemberKind::Symlink
    } else if kind.is_char_device() {
        MemberKind::CharDevice(device)
    } else if kind.is_block_device() {
        MemberKind::BlockDevice(device)
    } else if kind.is_fifo() {
        MemberKind::Fifo
    } else {
        return None;
    })
}

fn meta(path: &Path, found: &Metadata) -> io::Result<Meta> {
    let nanoseconds = u32::try_from(found.mtime_nsec()).unwrap_or_default();
    Ok(Meta {
        // The low bits, which are all that is kept.
        mode: Mode::new(u16::try_from(found.mode() & 0o7777).unwrap_or_default()),
        uid: found.uid(),
        gid: found.gid(),
        mtime: Time::new(found.mtime(), nanoseconds).unwrap_or_default(),
        xattrs: xattrs(path)?,
    })
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; XATTR_LIMIT];
    let length = match llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        // The file system has none.
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        // What security modules of this machine think of a file is no part of it.
        if name.is_empty() || name == b"security.selinux" {
            continue;
        }
        let mut value = vec![0; XATTR_LIMIT];
        let length = lgetxattr(path, OsStr::from_bytes(name), &mut value[..])?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}
