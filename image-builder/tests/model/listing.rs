//! What is in an image, by path: text that can be compared, and the time.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use content::{BlobHasher, Digest};
use tree::{Inode, Kind, Layer, Meta, Time, Tree};

use crate::trees::{Whole, scan};

/// One file. No time is one that nobody said: of a directory that only its files imply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) time: Option<Time>,
}

pub(crate) type Listing = BTreeMap<Vec<u8>, Line>;

/// Files that are known by path, which of them they are, and what they are.
pub(crate) fn listing(files: impl Iterator<Item = (Vec<u8>, usize, Line)>) -> Listing {
    let files: Vec<_> = files.collect();
    let mut names = BTreeMap::<usize, Vec<&[u8]>>::new();
    for (path, id, _) in &files {
        names.entry(*id).or_default().push(path);
    }
    names.values_mut().for_each(|names| names.sort_unstable());
    let named = |(path, id, line): &(Vec<u8>, usize, Line)| {
        let names = &names[id];
        let linked = (names.len() > 1)
            .then(|| format!(" x{} first {}", names.len(), names[0].escape_ascii()));
        let what = format!("{}{}", line.what, linked.unwrap_or_default());
        (path.clone(), Line { what, time: line.time })
    };
    files.iter().map(named).collect()
}

/// One file's line, without its other names.
pub(crate) fn line(kind: &str, meta: &Meta, time: Option<Time>) -> Line {
    let xattrs: Vec<String> = meta
        .xattrs
        .iter()
        .map(|(name, value)| format!(" {}={}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    let (mode, uid, gid) = (meta.mode.bits(), meta.uid, meta.gid);
    Line { what: format!("{kind} {mode:o} {uid}:{gid}{}", xattrs.concat()), time }
}

pub(crate) fn file(size: u64, digest: Digest) -> String {
    format!("file {size} {digest}")
}

fn of_inode(inode: &Inode<Whole>) -> Line {
    let kind = match inode.kind() {
        Kind::Directory(_) => "directory".to_owned(),
        Kind::File((size, digest)) => file(*size, *digest),
        Kind::Symlink(target) => format!("symlink {}", target.escape_ascii()),
        Kind::CharDevice(device) => format!("char {}:{}", device.major, device.minor),
        Kind::BlockDevice(device) => format!("block {}:{}", device.major, device.minor),
        Kind::Fifo => "fifo".to_owned(),
        Kind::Socket => "socket".to_owned(),
    };
    line(&kind, &inode.meta, Some(inode.meta.mtime))
}

/// What is in a tree.
pub(crate) fn of_tree(tree: &Tree<Whole>) -> Listing {
    let mut walk = tree.walk();
    let mut files = Vec::new();
    while let Some(visit) = walk.next() {
        let id =
            if visit.inode.is_directory() { usize::MAX - files.len() } else { visit.id.index() };
        files.push((walk.path_bytes().to_vec(), id, of_inode(visit.inode)));
    }
    listing(files.into_iter())
}

/// What is in a folder.
pub(crate) fn of_folder(folder: &Path) -> Listing {
    of_tree(&scan(folder))
}

/// What is in a tar that is the whole image.
pub(crate) fn of_tar(tar: impl Read) -> Listing {
    let layer: Layer<Whole> = layer::read_layer(tar, &layer::Options::default(), |_, data| {
        let (mut hasher, mut size, mut buffer) = (BlobHasher::new(), 0, vec![0; 64 << 10]);
        loop {
            match data.read(&mut buffer)? {
                0 => return Ok::<_, std::io::Error>((size, hasher.finish())),
                read => {
                    hasher.update(&buffer[..read]);
                    size += read as u64;
                }
            }
        }
    })
    .expect("what was unpacked is a layer");
    of_tree(&tree::stack(Tree::default(), layer).expect("it stands alone"))
}

/// How two listings differ, in words. A time that one of them leaves open is any time.
pub(crate) fn differences(wanted: &Listing, found: &Listing) -> Vec<String> {
    let mut told = Vec::new();
    for (path, line) in wanted {
        let shown = path.escape_ascii();
        match found.get(path) {
            None => told.push(format!("{shown} is missing: {}", line.what)),
            Some(other) => {
                let timed = line.time.zip(other.time).is_none_or(|(a, b)| a == b);
                if line.what != other.what || !timed {
                    told.push(format!("{shown}\n  should be {line:?}\n  and is    {other:?}"));
                }
            }
        }
    }
    let more = found.keys().filter(|path| !wanted.contains_key(*path));
    told.extend(more.map(|path| format!("{} should not be there", path.escape_ascii())));
    told
}
