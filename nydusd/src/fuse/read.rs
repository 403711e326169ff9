//! A read: answered from here, or in a thread that may wait. What an earlier run has left on the disk
//! has only to be checked: that does not queue behind what waits for the network.

use std::sync::Arc;

use fuser::{Errno, ReplyData};
use image::causes;
use lazy::{LazyImage, Of, ReadError, Urgency, Want};
use sys::Mapping;

use super::buffers::Buffer;
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
    let file = if let Of::File(inode) = &of { Some(inode.nid.0) } else { None };
    let reading = readers.traffic().begin(file);
    let length = image.span(&of, offset, usize::try_from(size).unwrap_or(usize::MAX));
    let mut buffer = readers.buffer(length);
    match image.read_here(&of, offset, &mut buffer) {
        Ok(true) => answered(reading, reply, Ok(&buffer)),
        Ok(false) => {
            let (image, reading) = (Arc::clone(image), reading.wait(number(&of)));
            // The reader waits from now on, and not from when there is a thread for it.
            let want = Want::within(readers.limit(), Urgency::Blocked);
            let recorded = image.is_recorded(&of, offset, length);
            let blocked = Blocked { image, of, offset, buffer, want, reading, reply };
            if recorded {
                let others = readers.clone();
                readers.spawn_at_disk(move || blocked.look(&others));
            } else {
                readers.spawn(move || blocked.wait());
            }
        }
        Err(error) => answered(reading, reply, Err(&error)),
    }
}

/// A read that cannot be answered at once.
struct Blocked {
    image: Arc<LazyImage<Mapping>>,
    of: Of,
    offset: u64,
    buffer: Buffer,
    want: Want,
    reading: Reading,
    reply: ReplyData,
}

impl Blocked {
    /// Answers it from the disk; if something is wrong there, by one of `readers` that may wait.
    fn look(mut self, readers: &Readers) {
        match self.image.read_recorded(&self.of, self.offset, &mut self.buffer) {
            Ok(true) => answered(self.reading, self.reply, Ok(&self.buffer)),
            Ok(false) => readers.spawn(move || self.wait()),
            Err(error) => answered(self.reading, self.reply, Err(&error)),
        }
    }

    /// Waits for what must be fetched.
    fn wait(mut self) {
        let read = self.image.read(&self.of, self.offset, &mut self.buffer, &self.want);
        answered(self.reading, self.reply, read.as_ref().map(|()| &*self.buffer));
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
