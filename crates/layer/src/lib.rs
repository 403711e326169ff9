//! An OCI layer's tar, compressed or not, to a file tree and back.
//!
//! Streaming: a layer is read once, front to back, and never held. Whoever calls
//! [`read::read_layer`] gets each regular file's data as a reader and says what its content is to
//! be; what comes back is a [`tree::Layer`].
//!
//! Read it in this order:
//!
//! - [`limits`]: how much a layer may ask for;
//! - [`unpack`]: gzip, zstd or neither, told by the first bytes; stops at bombs;
//! - [`header`], [`number`], [`pax`], [`sparse`]: the parts of a tar;
//! - [`member`], [`tar`]: one member after the other, in every dialect;
//! - [`data`]: a member's data, holes and all;
//! - [`place`]: where a member belongs, and which ones are refused;
//! - [`read`]: all of it together;
//! - [`write`](mod@write): a tree as a tar, the same bytes each time.
//!
//! # Why not the `tar` crate
//!
//! It reads extended headers whole, however long they say they are, and knows neither GNU's three
//! sparse formats in PAX headers nor negative times. What it could do for us is parse 512 bytes.
//! More: programs disagree about tars that contradict themselves (a size in two places, two names,
//! data after a hard link), and images have been attacked through that. This reader takes only
//! what all agree about, and says what it refuses ([`error::TarError`], [`place::Refusal`]).
//!
//! # What is decided as containerd and umoci decide it
//!
//! - Whiteouts and opaque marks as the OCI specification has them; AUFS's own files (`.wh..wh.`)
//!   are passed over.
//! - Of several members of one name, the last counts.
//! - Missing parents are made: 0755, root's.
//! - Metadata beside a hard link is not looked at (as umoci; it is the file's own that counts).
//! - A global PAX header is read and not applied, as in Go's `archive/tar`, on which both stand;
//!   one that would change files for those who apply it is refused.
//! - An extended attribute with an empty value is none: in PAX headers, nothing takes back what was
//!   said before. (GNU tar writes them and reads them; a tree that has one is written with it.)
//! - What comes after the end of the archive is read and ignored.
//!
//! # What is decided otherwise, because input may be hostile
//!
//! - An absolute path is refused unless [`limits::Options::absolute_paths`] has it taken from the
//!   root, as containerd does. `/` alone is the root in any case: umoci calls it so.
//! - `..` in a path or in a hard link's target is refused. In a symbolic link's target it is not:
//!   that is data, and nobody outside the tree follows it.
//! - A path through a symbolic link *of the same layer* is refused unless
//!   [`limits::Options::through_symlinks`] has it followed inside the tree. No program that writes
//!   layers makes one, and everybody who attacks unpackers does. A path through a symbolic link of
//!   a *lower* layer is ordinary (`lib/x` over `lib -> usr/lib`) and is followed, inside the tree,
//!   when layers are stacked.
//! - An archive may lack its end, from the last byte of a file on: umoci writes such, and Go reads
//!   them. What is cut off elsewhere is refused.

#![forbid(unsafe_code)]

pub mod data;
mod draft;
pub mod error;
pub mod header;
pub mod limits;
mod locate;
pub mod member;
pub mod number;
pub mod pax;
pub mod place;
pub mod read;
pub mod sparse;
pub mod tar;
pub mod unpack;
pub mod write;

pub use data::{Extent, FileData, Part};
pub use error::TarError;
pub use limits::{Limits, Options};
pub use member::{Member, MemberKind};
pub use place::Refusal;
pub use read::{ReadError, read_layer};
pub use tar::TarReader;
pub use unpack::{Compression, Unpacker};
pub use write::{TarWriter, WriteError, write_tar};
