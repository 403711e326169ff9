//! The image mounted by the kernel itself: its bootstrap is an EROFS image, and its data devices are
//! files of a small FUSE mount of ours, one a blob, in uncompressed address space.
//!
//! Directories, attributes and pages that are there never leave the kernel. The FUSE mount is
//! attached nowhere: only EROFS has its files open, and when EROFS is unmounted the kernel ends it.
//! If this process is gone, a page that is not there is an I/O error.
//!
//! - [`devices`]: the FUSE mount;
//! - [`mount`](mod@mount): both mounts.

pub mod devices;
pub mod mount;
