//! One sparse file that knows which verified blocks it holds, safe against crashes; and a quota
//! over many.
//!
//! A [`SparseFile`] is a file of a fixed length, cut into blocks of one size (the last may be
//! short). It knows nothing of tasks, images or digests: its caller verifies bytes and says so.
//!
//! # On disk
//!
//! Two files side by side, mode 0600:
//!
//! ```text
//! NAME.data   the bytes, each block at block × block size; holes where nothing was written
//! NAME.map    which blocks are there, little-endian:
//!             0   8  magic "MGSPARSE"
//!             8   4  version, 1
//!             12  4  block size in bytes
//!             16  8  length of the data in bytes
//!             24  n  one bit a block, least significant bit first; n = ⌈blocks / 8⌉
//! ```
//!
//! # A block's life
//!
//! ```text
//!                write                        ┌──── confirm ────┐
//!   Absent ─────────────────► Present ◄───────┤                 │
//!     │  ▲                     ▲  │           │    the process  │
//!     │  └──── drop_block ─────┼──┘     Recorded ◄── starts again
//!     └ write_provisional ► Provisional
//!                              promote ▲      (a crash forgets it)
//! ```
//!
//! # Why a crash does no harm
//!
//! - A bit is set, by a positional write of its one byte, only *after* the block's bytes were
//!   written; it is cleared *before* they are overwritten or punched out. So when the process is
//!   killed at any instant, the page cache, which survives it, holds all bytes of every block whose
//!   bit is set. Neighbouring bits share a byte; a mutex lets one writer at a time compute and
//!   write it.
//! - When the power fails, the kernel may have written the map and not yet the data. Nothing is
//!   synced to rule that out, because it would cost a disk flush a block and still not rule out a
//!   disk that forgets. Instead a bit of an earlier run is a claim only: its block is
//!   [`State::Recorded`], and becomes [`State::Present`] when the caller has read it, verified it
//!   and said [`SparseFile::confirm`].
//! - The map appears under its name by a rename after it was written, and a map of the wrong
//!   length, magic or version is refused when it is opened ([`SparseError::BadMap`]); the caller
//!   removes the pair.
//! - [`SparseFile::delete`] unlinks the map first: data without a map is a leftover, whatever it
//!   holds.
//! - Provisional blocks are never in the map.
//! - A file gives place to another by its name alone ([`SparseFile::create`],
//!   [`SparseFile::delete`]): who has it open, or the kernel that does, keeps every byte.
//!
//! # Readers and writers at once
//!
//! All methods take `&self`. A block that is being written or dropped is claimed; a second writer
//! waits. Bytes of a present block never change until it is dropped, and every drop raises a
//! counter that readers compare before and after, so that no reader takes a hole for bytes. No lock
//! is held over reading or writing a block's bytes.
//!
//! The two descriptors are opened at first use and can be given back ([`SparseFile::release`]), so
//! that thousands of files can be known while few are open.

mod blocks;
mod error;
mod file;
mod map;
mod quota;
pub mod steps;

pub use blocks::State;
pub use error::SparseError;
pub use file::SparseFile;
pub use quota::{Pin, Quota};
