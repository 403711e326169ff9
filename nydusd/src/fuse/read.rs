//! A read: answered from here, or in a thread that may wait.

use std::sync::Arc;

use fuser::{Errno, ReplyData};
use image::causes;
use lazy::{LazyImage, Of, ReadError, Urgency, Want};
use sys::Mapping;

use super::readers::Readers;
use super::traffic::Reading;

/// Answers a read of so many bytes from an offset on.
pub(crate) fn answer_read(
    image: &Arc<LazyImage<Mapping>>,
    readers: &Readers,
    of: Of,
    (offset, size): (u64, u32),
    reply: ReplyData,
) {
    let reading = readers.traffic().begin();
    let length = image.span(&of, offset, usize::try_from(size).unwrap_or(usize::MAX));
    let mut buffer = readers.buffer(length);
    match image.read_here(&of, offset, &mut buffer) {
        Ok(true) => answered(reading, reply, Ok(&buffer)),
        Ok(false) => {
            let image = Arc::clone(image);
            let reading = reading.wait(number(&of));
            // The reader waits from now on, and not from when there is a thread for it.
            let want = Want::within(readers.limit(), Urgency::Blocked);
            readers.spawn(move || {
                let read = image.read(&of, offset, &mut buffer, &want);
                answered(reading, reply, read.as_ref().map(|()| &*buffer));
            });
        }
        Err(error) => answered(reading, reply, Err(&error)),
    }
}

/// Counts it before who asked can know: whoever looks afterwards finds it.
fn answered(reading: Reading, reply: ReplyData, read: Result<&[u8], &ReadError>) {
    match read {
        Ok(bytes) => {
            reading.done(Some(bytes.len()));
            reply.data(bytes);
        }
        Err(error) => {
            reading.done(None);
            reply.error(failed(error));
        }
    }
}

/// The number of what is read, for who asks what is waited for.
const fn number(of: &Of) -> u64 {
    match of {
        Of::File(inode) => inode.nid.0,
        Of::Blob(blob) => *blob as u64,
    }
}

/// Says in the log what the reader is told only as an I/O error.
pub(crate) fn failed(error: &ReadError) -> Errno {
    tracing::warn!(error = causes(error), "a read failed");
    Errno::EIO
}
