//! An image's tree as the kernel asks for it.
//!
//! Stateless: the kernel's inode number says where the inode lies in the mapped bootstrap, so that
//! nothing is remembered of what was looked up, and nothing is to be forgotten. Metadata is answered
//! in the thread that hears the question; a read that must wait for a chunk goes to another, so that
//! a slow registry never holds up a `stat`.
//!
//! - [`numbers`]: the kernel's numbers and the image's;
//! - [`attributes`]: what `stat` says;
//! - `xattrs`: extended attributes;
//! - [`readers`]: the threads that wait;
//! - [`buffers`]: room for the bytes of reads;
//! - `turns`: whose read has the next of them;
//! - [`copies`]: large files that the kernel reads itself;
//! - `read`: a read, answered from here or by one of them;
//! - [`traffic`]: what was read, in numbers; [`files`]: of which files, if somebody wants to know;
//! - [`calls`]: the other questions, in numbers;
//! - [`tree`](mod@tree): the questions;
//! - `detached`: a mount that is attached nowhere yet;
//! - [`session`]: how it is mounted.

use std::time::Duration;

pub mod attributes;
pub mod buffers;
pub mod calls;
pub mod copies;
pub(crate) mod detached;
pub mod files;
pub mod numbers;
mod read;
pub mod readers;
pub mod session;
pub mod traffic;
pub mod tree;
mod turns;
mod xattrs;

pub(crate) use read::answer_read;

/// An image never changes: what the kernel knows of it stays true. Ten years.
pub(crate) const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// So many reads may be on their way that nobody waits for yet (readahead).
pub(crate) const BACKGROUND: u16 = 64;
