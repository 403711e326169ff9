//! Why an image cannot be written.

use tree::InodeId;

use crate::codec::EncodeError;

/// Why an image, or a data blob, cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The chunk index has a byte for the blob.
    #[error("an image has at most 254 blobs, not {0}")]
    Blobs(usize),
    /// A bootstrap is shorter than 2 GiB.
    #[error("the bootstrap would be {0} bytes long; 2 GiB is too much")]
    TooLong(u64),
    /// There are more inodes than numbers.
    #[error("there are more than 2147483647 inodes")]
    Inodes,
    /// A file is not made of chunks of the image's size that lie in its blobs.
    #[error("the chunks of file {} are not there, or not as long as the file", .0.index())]
    Chunks(InodeId),
    /// A name of an extended attribute that the format has no prefix for, or that is too long.
    #[error("the format has no room for the extended attribute {}", .0.escape_ascii())]
    XattrName(Vec<u8>),
    /// The extended attributes of one file are longer than the format can say.
    #[error("the extended attributes of file {} are too long", .0.index())]
    XattrSize(InodeId),
    /// A link's target has 1 to 4095 bytes, and no NUL.
    #[error("the target of link {} is empty, longer than 4095 bytes, or has a NUL", .0.index())]
    Target(InodeId),
    /// The kernel's device numbers have 12 bits of major and 20 of minor.
    #[error("the device number {major}:{minor} is too large")]
    Device {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
    /// Something to fetch first is not in the tree.
    #[error("a file to be fetched first is not in the tree")]
    NoSuchFile,
    /// The blobs together are longer than block numbers reach.
    #[error("the blobs are longer than can be said, or have too many chunks")]
    Space,
    /// A chunk or a batch could not be compressed.
    #[error("the compressor failed")]
    Encode,
    /// A bootstrap in a blob has to be announced, and the blob needs a table of contents.
    #[error(
        "a bootstrap came into a blob that has no place for one, or none came where one was due"
    )]
    Inline,
}

impl From<EncodeError> for WriteError {
    fn from(_: EncodeError) -> Self {
        Self::Encode
    }
}
