//! Tasks on disk: sparse files and their index; eviction and recovery.
//!
//! ```text
//! DIR/                               0700
//!   lock                             held as long as a store is open (flock)
//!   index/                           sled: what is known of each task, see `index`
//!   index.new/                       for a moment, while the index is made anew
//!   index.damaged/                   the last index that could not be read, for whoever asks why
//!   tasks/<2 hex>/<kind>-<hex>.data  a task's bytes, sparse      (crate `sparse` draws both)
//!   tasks/<2 hex>/<kind>-<hex>.map   which of its pieces are there
//!   tasks/probe                      for a moment, while a disk that refused is tried again
//! ```
//!
//! `<kind>` is `blob` or `url`, `<hex>` the task's name, `<2 hex>` its first byte.
//!
//! # What is believed after a start
//!
//! - **The files say what is held.** A pair of files whose index entry is missing (the index is
//!   written lazily, or was damaged) is taken in again with what its map says; anything else under
//!   `tasks/` that is not such a pair, or holds nothing, is removed. An index entry without files is
//!   removed. An index that cannot be read is set aside and made anew; the store starts all the same.
//! - **The index says what is known**: media type, statements, own digests, whether the whole
//!   matched, last use, the operator's pin, grants. Nothing in it is needed to know what is held,
//!   and all of it can be fetched anew.
//! - **A piece of an earlier run is a claim.** It is verified when it is first read, against the
//!   statement of a supernode or, for a blob that this node took from the origin alone, against the
//!   digest that was computed when the piece came and kept when the blob's SHA-256 had matched.
//!   Nothing is hashed at the start.
//! - **Provisional pieces are forgotten.**
//!
//! # Eviction
//!
//! Above the high watermark, and before the reserve of the file system is touched, whole tasks go,
//! least recently used first, until the low watermark is reached. A task is in use, and stays, while
//! anybody holds its [`Task`] handle or a [`Lease`], or the operator has pinned it.
//!
//! # A disk that ends
//!
//! When the disk refuses a write, [`Store::writable`] turns false: writes are refused at once with
//! the same typed error, reads go on, nothing stored is touched. [`Store::probe`] tries again; the
//! caller drives it on a schedule.
//!
//! A task for which there is no place at all can still be passed on: [`Store::unkept`] gives a handle
//! to it that keeps nothing.
//!
//! # What is lost
//!
//! Whoever told others what the store holds has to take it back when pieces go, whatever the reason:
//! [`Store::on_loss`].
//!
//! All methods block; async callers run them where that is allowed. Read in this order: [`store`],
//! [`task`], `read`, `write`, `evict`, `recover`, `index`, `space`.

mod clock;
mod config;
mod error;
mod evict;
mod facts;
mod flock;
mod index;
mod lock;
mod losses;
mod names;
mod read;
mod ready;
mod recover;
mod shared;
mod space;
pub mod store;
pub mod task;
mod write;

pub use config::StoreConfig;
pub use error::{
    CompleteError, CreateError, IndexError, OpenError, PutError, ReadError, StoreError,
};
pub use evict::{Collected, Evicted, Removal};
pub use read::Scrubbed;
pub use ready::Ready;
pub use space::Fault;
pub use store::{Store, StoreStats, TaskInfo};
pub use task::{Lease, Task};
