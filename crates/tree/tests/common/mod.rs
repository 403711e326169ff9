//! Trees in a line per file, for tests.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use tree::{Inode, Kind, Layer, Meta, Mode, Path, Tree};

pub(crate) fn path(text: &str) -> Path {
    Path::parse(text.as_bytes()).unwrap()
}

pub(crate) fn mode(bits: u16) -> Meta {
    Meta { mode: Mode::new(bits), ..Meta::default() }
}

pub(crate) fn dir() -> Inode<u32> {
    Inode::directory(mode(0o700))
}

pub(crate) fn file(content: u32) -> Inode<u32> {
    Inode::file(mode(0o600), content)
}

pub(crate) fn symlink(target: &str) -> Inode<u32> {
    Inode::symlink(mode(0o777), target.as_bytes())
}

/// `path mode what`, sorted; hard-linked files say how many names they have.
pub(crate) fn listing(tree: &Tree<u32>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let what = match visit.inode.kind() {
            Kind::Directory(_) => "dir".to_owned(),
            Kind::File(content) => format!("file {content}"),
            Kind::Symlink(target) => format!("-> {}", target.escape_ascii()),
            other => format!("{other:?}"),
        };
        let links = match visit.inode.links() {
            1 => String::new(),
            links => format!(" x{links}"),
        };
        lines.push(format!("{} {:o} {what}{links}", walk.path(), visit.inode.meta.mode.bits()));
    }
    lines
}

pub(crate) fn lower(files: &[(&str, Inode<u32>)]) -> Tree<u32> {
    let mut tree = Tree::default();
    for (at, inode) in files {
        tree.insert_at(&path(at), inode.clone()).unwrap();
    }
    tree
}

pub(crate) fn upper(files: &[(&str, Inode<u32>)]) -> Layer<u32> {
    let mut layer = Layer::new();
    for (at, inode) in files {
        layer.insert(&path(at), inode.clone()).unwrap();
    }
    layer
}
