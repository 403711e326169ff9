//! A read: answered from here, or in a thread that may wait.

use std::sync::Arc;

use fuser::{Errno, ReplyData};
use image::causes;
use lazy::{LazyImage, Of, ReadError, Urgency, Want};
use sys::Mapping;

use super::readers::Readers;

/// Answers a read of so many bytes from an offset on.
pub(crate) fn answer_read(
    image: &Arc<LazyImage<Mapping>>,
    readers: &Readers,
    of: Of,
    (offset, size): (u64, u32),
    reply: ReplyData,
) {
    let length = image.span(&of, offset, usize::try_from(size).unwrap_or(usize::MAX));
    let mut buffer = readers.buffer(length);
    match image.read_here(&of, offset, &mut buffer) {
        Ok(true) => reply.data(&buffer),
        Ok(false) => {
            let image = Arc::clone(image);
            // The reader waits from now on, and not from when there is a thread for it.
            let want = Want::within(readers.limit(), Urgency::Blocked);
            readers.spawn(move || match image.read(&of, offset, &mut buffer, &want) {
                Ok(()) => reply.data(&buffer),
                Err(error) => reply.error(failed(&error)),
            });
        }
        Err(error) => reply.error(failed(&error)),
    }
}

/// Says in the log what the reader is told only as an I/O error.
pub(crate) fn failed(error: &ReadError) -> Errno {
    tracing::warn!(error = causes(error), "a read failed");
    Errno::EIO
}
