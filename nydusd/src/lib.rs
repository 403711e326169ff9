//! Lazy mounts of chunked images.
//!
//! Synchronous, in threads: `docs/lazy-mount.md` says why, and what a read goes through. Read it in
//! this order:
//!
//! - [`open`](mod@open): what a command line names becomes an image whose files can be read;
//! - [`metadata`]: its bootstrap, checked once and kept on the disk;
//! - [`origin`], [`swarm`]: where chunks come from that are not on the node; [`grants`]: what
//!   registries said of them;
//! - [`prefetch`]: chunks that come before anybody reads them;
//! - [`tally`]: what became of reads;
//! - [`fuse`]: the image's tree as the kernel asks for it;
//! - [`erofs`]: the same tree, mounted by the kernel itself over our blobs;
//! - [`driver`]: which of both;
//! - [`mounts`]: what is mounted where, and how it is taken away;
//! - [`places`]: folders to mount on;
//! - [`descriptors`]: whether there are enough for one more;
//! - [`records`]: what is mounted, on the disk; [`restore`]: what a killed process had comes back; [`left`]: it is told meanwhile;
//! - [`orders`]: what it is told, and tells; [`node`]: many mounts in one process; [`serve`](mod@serve): its life; [`api`]: what it is asked;
//! - [`snapshotter`]: the same, as nydus-snapshotter starts and drives it;
//! - [`socket`]: how both are asked;
//! - [`background`]: a mount that stays when its command returns; [`log_file`]: what it says from
//!   then on;
//! - [`cli`]: the commands; [`config`]: the file beneath their options; [`version`].

#![forbid(unsafe_code)]

pub mod api;
pub mod background;
pub mod cli;
pub mod config;
pub mod descriptors;
pub mod door;
pub mod driver;
pub mod erofs;
pub mod fuse;
pub mod grants;
pub mod left;
mod lock;
pub mod log_file;
pub mod metadata;
mod metrics;
pub mod mounts;
pub mod node;
pub mod open;
pub mod orders;
pub mod origin;
pub mod places;
pub mod prefetch;
mod read_ahead;
pub mod records;
pub mod restore;
pub mod serve;
pub mod snapshotter;
pub mod socket;
pub mod swarm;
pub mod tally;
pub mod version;
