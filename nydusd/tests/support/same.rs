//! Two trees, compared call by call.

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// What is not compared.
#[derive(Clone, Copy, Default)]
pub(crate) struct Leave {
    /// The root's time, which `nydus-image` does not keep.
    pub(crate) root_time: bool,
    /// Parts of a second, which a tar without PAX times does not keep.
    pub(crate) part_of_second: bool,
}

/// What differs between what is `expected` and what is `found`, in words.
pub(crate) fn differences(expected: &Path, found: &Path, leave: Leave) -> Vec<String> {
    let mut told = Vec::new();
    let mut pending = vec![OsString::new()];
    while let Some(path) = pending.pop() {
        let (a, b) = (expected.join(&path), found.join(&path));
        let leave = Leave { root_time: leave.root_time && path.is_empty(), ..leave };
        let mut tell = |what: String| told.push(format!("{}: {what}", path.display()));
        if stat(&a, &b, leave, &mut tell) {
            for name in names(&a, &b, &mut tell) {
                pending.push(Path::new(&path).join(name).into_os_string());
            }
        }
    }
    told
}

/// Whether both are directories.
fn stat(a: &Path, b: &Path, leave: Leave, tell: &mut impl FnMut(String)) -> bool {
    let (one, other) = (fs::symlink_metadata(a), fs::symlink_metadata(b));
    let (Ok(one), Ok(other)) = (&one, &other) else {
        tell(format!("lstat: {one:?}, {other:?}"));
        return false;
    };
    let folder = one.is_dir();
    let facts = |stat: &fs::Metadata| {
        let nanoseconds = if leave.part_of_second { 0 } else { stat.mtime_nsec() };
        let time = if leave.root_time { (0, 0) } else { (stat.mtime(), nanoseconds) };
        // How large a directory is, and what it counts, is the file system's own affair.
        let own = if folder { (0, 0) } else { (stat.len(), stat.nlink()) };
        (stat.mode(), stat.uid(), stat.gid(), stat.rdev(), time, own)
    };
    if facts(one) != facts(other) {
        tell(format!("stat: {:?}, {:?}", facts(one), facts(other)));
    }
    if xattrs(a) != xattrs(b) {
        tell(format!("xattrs: {:?}, {:?}", xattrs(a), xattrs(b)));
    }
    if one.is_symlink() && fs::read_link(a).unwrap() != fs::read_link(b).unwrap() {
        tell("its target".to_owned());
    }
    if one.is_file() && other.is_file() {
        content(a, b, tell);
    }
    folder && other.is_dir()
}

fn names(a: &Path, b: &Path, tell: &mut impl FnMut(String)) -> BTreeSet<OsString> {
    let list = |at: &Path| -> BTreeSet<_> {
        fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let kinds = |at: &Path| -> BTreeSet<_> {
        let entries = fs::read_dir(at).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), format!("{:?}", entry.file_type()))).collect()
    };
    if kinds(a) != kinds(b) {
        tell(format!("its names: {:?}", kinds(a).symmetric_difference(&kinds(b))));
    }
    list(a).intersection(&list(b)).cloned().collect()
}

/// As a whole, and a part from the middle, first; and what is asked beyond the end.
fn content(a: &Path, b: &Path, tell: &mut impl FnMut(String)) {
    let (one, other) = (File::open(a).unwrap(), File::open(b).unwrap());
    let length = one.metadata().unwrap().len();
    let part = |file: &File| {
        let mut bytes = vec![0; 10_000];
        file.read_at(&mut bytes, length / 3).map(|read| bytes[..read].to_vec())
    };
    match (part(&one), part(&other)) {
        (Ok(one), Ok(other)) if one == other => {}
        (_, Err(error)) => return tell(format!("read: {error}")),
        _ => tell("a part of its bytes".to_owned()),
    }
    if other.read_at(&mut [0; 10], length).unwrap() != 0 {
        tell("there are bytes beyond its end".to_owned());
    }
    match (fs::read(a), fs::read(b)) {
        (Ok(one), Ok(other)) if one == other => {}
        (_, Err(error)) => tell(format!("read: {error}")),
        _ => tell("its bytes".to_owned()),
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0_u8; 70_000];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found: Vec<_> = names
        .map(|name| {
            let mut value = vec![0_u8; 70_000];
            let c_name = CString::new(name).unwrap();
            let length = rustix::fs::lgetxattr(path, c_name.as_c_str(), &mut value).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// What is refused, and how: the same under `a` and `b`, both read-only. `file` and `folder` are
/// names under both.
pub(crate) fn refusals(at: &Path, file: &str, folder: &str) -> Vec<(&'static str, Errno)> {
    let (inside, folder) = (at.join(file), at.join(folder));
    let open = |path: &Path, flags| rustix::fs::open(path, flags, Mode::empty()).map(|_| ());
    let long = "n".repeat(256);
    let mut small = [0_u8; 1];
    let beneath = inside.join("x");
    let deep = at.join("no/where");
    let calls = [
        ("missing", open(&at.join("missing"), OFlags::RDONLY)),
        ("missing again", open(&at.join("missing"), OFlags::RDONLY)),
        ("missing folder", open(&deep, OFlags::RDONLY)),
        ("beneath a file", open(&beneath, OFlags::RDONLY)),
        ("long name", open(&at.join(long), OFlags::RDONLY)),
        ("a file as a folder", open(&inside, OFlags::RDONLY | OFlags::DIRECTORY)),
        ("a folder to write", open(&folder, OFlags::WRONLY)),
        ("a file to write", open(&inside, OFlags::WRONLY)),
        ("a new file", open(&at.join("new"), OFlags::WRONLY | OFlags::CREATE)),
        ("mkdir", rustix::fs::mkdir(at.join("new"), Mode::empty())),
        ("unlink", rustix::fs::unlink(&inside)),
        ("rename", rustix::fs::rename(&inside, at.join("new"))),
        ("chmod", rustix::fs::chmod(&inside, Mode::RUSR)),
        ("readlink of a file", rustix::fs::readlink(&inside, Vec::new()).map(|_| ())),
        ("xattr that is not there", xattr(&inside, "user.none", &mut small)),
        ("xattr of no kind", xattr(&inside, "nonsense", &mut small)),
        ("read of a folder", fs::read(&folder).map(|_| ()).map_err(|e| errno(&e))),
    ];
    calls
        .into_iter()
        .map(|(name, done)| (name, done.err().unwrap_or(Errno::from_raw_os_error(0x7ff))))
        .collect()
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap()
}

fn xattr(path: &Path, name: &str, into: &mut [u8]) -> Result<(), Errno> {
    let name = CString::new(name.as_bytes()).unwrap();
    rustix::fs::getxattr(path.as_os_str().as_bytes(), name.as_c_str(), into).map(|_| ())
}
