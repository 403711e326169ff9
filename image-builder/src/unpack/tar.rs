//! The whole image as one layer's tar.

use std::io::{self, Write};

use layer::{WriteError, write_tar};

use crate::opened::chunks::CopyError;
use crate::opened::{ChunkReader, OpenError, Opened};

use super::UnpackError;

/// Writes the image's tree as a tar: members sorted, PAX where a header has no room, the same
/// bytes each time. Holes are written as zeros. Returns how many sockets were left out, which no
/// tar has.
///
/// # Errors
/// If a chunk cannot be had, or nobody takes the bytes.
pub fn to_tar(
    opened: &Opened,
    out: impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, UnpackError> {
    let mut chunks = ChunkReader::new(opened);
    // The writer knows I/O errors only; what really happened is kept beside it.
    let mut failed: Option<OpenError> = None;
    let written = write_tar(
        opened.tree(),
        out,
        |content| content.size,
        |_, content, out| match chunks.copy(content, out) {
            Ok(()) => {
                progress(content.size);
                Ok(())
            }
            Err(CopyError::Write(error)) => Err(error),
            Err(CopyError::Open(error)) => {
                failed = Some(error);
                Err(io::Error::other("the image cannot be read"))
            }
        },
    );
    match (written, failed) {
        (_, Some(error)) => Err(error.into()),
        (Err(WriteError::Io(error)), None) => Err(UnpackError::Tar(WriteError::Io(error))),
        (Err(error), None) => Err(UnpackError::Tar(error)),
        (Ok(sockets), None) => Ok(sockets),
    }
}
