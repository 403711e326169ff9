//! A client's connection that sends parts of files without ever reading them.
//!
//! An answer hands its HTTP server bytes that are memory mappings of the store's files
//! ([`Outlet::part`]). The socket under the server knows them by their address, and has the kernel
//! send them from the page cache (sendfile(2)). A copy through this process would cost three times
//! as much.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use store::Ready;
use sys::Mapping;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Where answers of one connection put parts of files. Clones are of the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    parts: Arc<Mutex<VecDeque<Part>>>,
    sent: Counter,
}

/// A part of a file, and the addresses that stand for it.
#[derive(Debug)]
struct Part {
    memory: Range<usize>,
    /// Where in the file the first address lies.
    offset: u64,
    ready: Arc<Ready>,
}

impl Outlet {
    /// A mapping of the bytes at `offset` of `ready`'s file, for the answer's body.
    pub(crate) fn part(&self, mapping: Mapping, ready: &Arc<Ready>, offset: u64) -> Bytes {
        let memory = mapping.as_ref().as_ptr_range();
        let memory = memory.start.addr()..memory.end.addr();
        let part = Part { memory, offset, ready: Arc::clone(ready) };
        let start = part.memory.start;
        self.lock().push_back(part);
        Bytes::from_owner(Mapped { mapping, start, outlet: self.clone() })
    }

    /// Where the bytes of `slice` lie in a file, if they were handed out as a part of one.
    fn find(&self, slice: &[u8]) -> Option<(Arc<Ready>, u64)> {
        let bytes = slice.as_ptr_range();
        let bytes = bytes.start.addr()..bytes.end.addr();
        let parts = self.lock();
        let part = parts.iter().find(|part| {
            part.memory.start <= bytes.start && bytes.end <= part.memory.end && !bytes.is_empty()
        })?;
        let within = (bytes.start - part.memory.start) as u64;
        Some((Arc::clone(&part.ready), part.offset + within))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mapping that the outlet knows. Its addresses mean nothing any more once it goes.
struct Mapped {
    mapping: Mapping,
    start: usize,
    outlet: Outlet,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.mapping.as_ref()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // Before the mapping goes: other memory may come to lie there.
        self.outlet.lock().retain(|part| part.memory.start != self.start);
    }
}

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    outlet: Outlet,
}

impl Socket {
    /// Over `stream`; bytes that are sent from files are counted in `sent`.
    pub(crate) fn new(stream: TcpStream, sent: Counter) -> Self {
        // Answers are written whole; the end of one must not wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a client's connection is slower than it could be");
        }
        Self { stream, outlet: Outlet { parts: Arc::default(), sent } }
    }

    /// Where this connection's answers put parts of files.
    pub(crate) fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// Tries `write` whenever the socket takes bytes, until it took some.
    fn poll(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let written = self.stream.try_io(Interest::WRITABLE, || Ok(write(&self.stream)?));
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Sends `length` bytes from `offset` of the file on, or some of them.
    fn poll_file(
        &self,
        context: &mut Context<'_>,
        source: &Ready,
        mut offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let file: &File = source.file();
        let sending =
            |stream: &TcpStream| rustix::fs::sendfile(stream, file, Some(&mut offset), length);
        let sent = ready!(self.poll(context, sending))?;
        if sent == 0 || !source.holds() {
            // The answer ends short, so that it is never complete and wrong.
            return Poll::Ready(Err(io::Error::other("the stored bytes went away")));
        }
        self.outlet.sent.inc_by(sent as u64);
        Poll::Ready(Ok(sent))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = trimmed(slices);
        let Some(first) = slices.first() else { return Poll::Ready(Ok(0)) };
        if let Some((source, offset)) = self.outlet.find(first) {
            return self.poll_file(context, &source, offset, first.len());
        }
        let plain = slices.iter().position(|slice| self.outlet.find(slice).is_some());
        // A head waits in the kernel for the part of a file that follows: one packet, not two.
        let flags = if plain.is_some() { SendFlags::MORE } else { SendFlags::empty() };
        let slices = &slices[..plain.unwrap_or(slices.len())];
        self.poll(context, |stream| {
            let mut nothing = SendAncillaryBuffer::default();
            rustix::net::sendmsg(stream, slices, &mut nothing, flags | SendFlags::NOSIGNAL)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // nothing is held back here
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// The slices without the empty ones in front.
fn trimmed<'a, 'b>(slices: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    let first = slices.iter().position(|slice| !slice.is_empty());
    &slices[first.unwrap_or(slices.len())..]
}

#[cfg(test)]
mod tests;
