//! Images by chance, and what is in them by rules that are written down here once more, in the
//! simplest way: a map from paths to files, changed by one member of a layer after the other.
//!
//! - `chance`: plans of layers by chance, `make`: members of them; what makes no sense where it
//!   stands is left out;
//! - `state`: the map;
//! - `listing`: one form of it, of a tree and of a folder, that can be compared;
//! - `tar`: a writer of tars in the dialects of PAX and GNU that shares nothing with ours.

#![allow(dead_code, reason = "each test uses another part")]

pub(crate) mod chance;
pub(crate) mod listing;
mod make;
pub(crate) mod state;
pub(crate) mod tar;

use tree::Meta;

/// A file's bytes: how long a hole is, which bytes follow, and so on.
pub(crate) type Sparse = Vec<(u64, Vec<u8>)>;

/// What a member is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Directory,
    File(Sparse),
    Symlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    /// A name more for the file at this path.
    Link(Vec<u8>),
}

/// One member of a layer; whiteouts are files with their names.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Names joined by slashes; empty for the root.
    pub(crate) path: Vec<u8>,
    pub(crate) what: What,
    pub(crate) meta: Meta,
}

/// `name` in the directory `parent`.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}
