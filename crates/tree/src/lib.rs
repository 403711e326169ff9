//! The file tree of an image, and how layers stack upon each other.
//!
//! Pure: no I/O, no clock. A [`Tree`] is generic over what a regular file's content is: a list of
//! chunks for a writer of images, a place in a blob for a reader, nothing for a test.
//!
//! Read it in this order:
//!
//! - [`name`], [`path`]: what a file may be called, and where it lies; bytes, not text;
//! - [`meta`]: mode, owner, time and extended attributes;
//! - [`inode`]: one file of any kind. Hard links are several names of one inode;
//! - [`tree`]: the arena of inodes under one root. Look-ups never follow a symbolic link;
//! - [`walk`]: every name of a tree, sorted, without recursion;
//! - [`resolve`]: the one place where symbolic links are followed, always inside the tree;
//! - [`layer`]: what one layer of an image says: a tree, whiteouts, opaque marks, and which
//!   directories it only implies;
//! - [`stack`]: a layer applied to what lies under it.

#![forbid(unsafe_code)]

mod arena;
pub mod inode;
pub mod layer;
pub mod meta;
pub mod name;
pub mod path;
pub mod resolve;
pub mod stack;
pub mod tree;
pub mod walk;

pub use inode::{Device, Directory, Inode, InodeId, Kind};
pub use layer::{Implied, Layer, LayerError};
pub use meta::{Meta, Mode, Time};
pub use name::{Name, NameError};
pub use path::{Path, PathError};
pub use resolve::ResolveError;
pub use stack::{StackError, stack};
pub use tree::{Tree, TreeError};
pub use walk::{Step, Visit};
