//! Images' metadata on this node's disk: fetched and checked once, mapped by every mount.
//!
//! ```text
//!   FOLDER/KEY.nydusd-bootstrap   a bootstrap, and behind it what is known of its blobs' batches
//!   FOLDER/KEY.json               what it is, and when it was last found to be so
//!   FOLDER/documents/DIGEST       manifests and indexes, as registries gave them
//! ```
//!
//! - [`key`](mod@key): under which name a bootstrap is kept;
//! - [`record`]: what is written beside it, and when that is believed;
//! - [`check`](mod@check): what is looked at before a bootstrap is kept, so before any kernel sees it;
//! - [`held`](mod@held): a bootstrap while it is checked;
//! - [`kept`](mod@kept): the folder;
//! - [`bound`]: how much stays in it;
//! - [`coming`]: what must not go meanwhile;
//! - [`documents`]: a registry whose manifests are remembered by their digests.
//!
//! **What is believed.** The folder is root's, and nobody writes to it but the one process that has
//! the cache: what is to be found are bytes that the disk changed, and files that a crash left half
//! written. So each file has its BLAKE3 beside it, and is hashed before it is mapped: after each start
//! of the machine, whenever its inode, length or time of change is another one, and once a day. In
//! between it is not: the kernel changes the time of a file with every write, and what a disk changes
//! behind the kernel's back does not show in bytes that are in memory, however often they are hashed.
//! So mounting takes the same time for any size of image. A file that is wrong is removed and fetched
//! again.

pub mod bound;
pub mod check;
pub mod coming;
pub mod documents;
pub mod held;
pub mod kept;
pub mod key;
pub mod record;

pub use kept::{Fresh, Kept, Metadata};
pub use key::Key;
