//! One conversation: messages as frames, and raw bytes, in order, both ways.
//!
//! A stream must be ended by [`Stream::finish`] or [`Stream::done`]. One that is dropped before is
//! given up: the peer sees an error, never an end that looks orderly.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use quinn::VarInt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;
use wire::frame::{self, FrameError, MAX_FRAME};

use crate::bulk::{Home, Link, Permit, Socket};
use crate::connection::Connection;
use crate::error::{TransportError, code};

/// At least so much room for messages: most are small, and a cluster has many control streams.
const SMALL_READ: usize = 4 * 1024;

/// At most so much is read at once.
const LARGE_READ: usize = 64 * 1024;

/// So much is written in one go, within which a peer must take something or has stalled.
const PART: usize = 256 * 1024;

/// A conversation with a peer.
#[derive(Debug)]
pub struct Stream {
    send: SendHalf,
    recv: RecvHalf,
    /// Where the socket goes when the exchange is done.
    home: Option<Home>,
}

/// What we say.
pub struct SendHalf {
    /// Gone when all has been said.
    sink: Option<Sink>,
    stall: Duration,
    /// The connection stays open for as long as it has streams.
    keep: Option<Connection>,
}

/// What the peer says.
pub struct RecvHalf {
    source: Source,
    buffer: BytesMut,
    _keep: Option<Connection>,
}

enum Sink {
    Quic(quinn::SendStream),
    Bulk(WriteHalf<Socket>, Permit),
}

enum Source {
    Quic(quinn::RecvStream),
    Bulk(ReadHalf<Socket>),
}

impl Stream {
    pub(crate) fn quic(
        (send, recv): (quinn::SendStream, quinn::RecvStream),
        stall: Duration,
        keep: Option<Connection>,
    ) -> Self {
        Self {
            send: SendHalf { sink: Some(Sink::Quic(send)), stall, keep: keep.clone() },
            recv: RecvHalf { source: Source::Quic(recv), buffer: BytesMut::new(), _keep: keep },
            home: None,
        }
    }

    pub(crate) fn bulk(link: Link, stall: Duration, home: Home, keep: Option<Connection>) -> Self {
        Self {
            send: SendHalf {
                sink: Some(Sink::Bulk(link.write, link.permit)),
                stall,
                keep: keep.clone(),
            },
            recv: RecvHalf { source: Source::Bulk(link.read), buffer: link.buffer, _keep: keep },
            home: Some(home),
        }
    }

    /// Binds the stream to the connection that it came on.
    pub(crate) fn keeping(mut self, connection: Connection) -> Self {
        self.recv._keep = Some(connection.clone());
        self.send.keep = Some(connection);
        self
    }

    /// Says a message. Not to be cancelled: half of it may have gone.
    ///
    /// # Errors
    /// If the peer or the connection is gone, or the peer takes nothing for too long.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), TransportError> {
        self.send.send(message).await
    }

    /// Sends raw bytes. Not to be cancelled: some of them may have gone.
    ///
    /// # Errors
    /// If the peer or the connection is gone, or the peer takes nothing for too long.
    pub async fn send_bytes(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.send.send_bytes(bytes).await
    }

    /// The peer's next message; `None` at its orderly end. May be cancelled.
    ///
    /// # Errors
    /// If the peer gave up, the connection is gone, or what came is no such message.
    pub async fn recv<M: Message + Default>(&mut self) -> Result<Option<M>, TransportError> {
        self.recv.recv().await
    }

    /// The next raw bytes, one to `max` of them; `None` at the peer's orderly end. May be
    /// cancelled.
    ///
    /// # Errors
    /// If the peer gave up or the connection is gone.
    pub async fn recv_bytes(&mut self, max: usize) -> Result<Option<Bytes>, TransportError> {
        self.recv.recv_bytes(max).await
    }

    /// All has been said; the peer may still speak. On a bulk stream this costs the socket, which
    /// serves no second request then; [`Stream::done`] does not.
    pub fn finish(&mut self) {
        self.home = None;
        self.send.finish();
    }

    /// The exchange is over, as both sides know by what was said: nothing more will be sent or
    /// read. A bulk stream's socket is kept for the next request.
    pub fn done(self) {
        let Self { mut send, recv, home } = self;
        let Some(home) = home else {
            send.finish();
            return;
        };
        if let (Some(Sink::Bulk(write, permit)), Source::Bulk(read)) =
            (send.sink.take(), recv.source)
        {
            home.give(Link { read, write, buffer: recv.buffer, permit });
        }
    }

    /// How urgent what we send is, beside other streams of the connection: higher goes first.
    pub fn set_priority(&self, priority: i32) {
        self.send.set_priority(priority);
    }

    /// Whether the stream travels over TCP.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self.recv.source, Source::Bulk(_))
    }

    /// Both directions apart. A bulk stream's socket serves no second request then.
    #[must_use]
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }

    /// Gives the stream up, and says why.
    pub(crate) fn refuse(mut self, reason: VarInt) {
        if let Some(Sink::Quic(mut send)) = self.send.sink.take() {
            let _ = send.reset(reason);
        }
        if let Source::Quic(mut recv) = self.recv.source {
            let _ = recv.stop(reason);
        }
    }

    /// The peer's next message, if it is not longer than `limit`.
    pub(crate) async fn recv_short<M: Message + Default>(
        &mut self,
        limit: usize,
    ) -> Result<Option<M>, TransportError> {
        self.recv.recv_short(limit).await
    }

    /// Waits until something has come; whether it has, or the stream is at its end.
    pub(crate) async fn ready(&mut self) -> Result<bool, TransportError> {
        Ok(!self.recv.buffer.is_empty() || self.recv.fill(SMALL_READ).await? > 0)
    }

    /// Waits until the peer has all that was sent, or is gone.
    pub(crate) async fn delivered(mut self) {
        if let Some(Sink::Quic(mut send)) = self.send.sink.take() {
            let _ = send.finish();
            let _ = send.stopped().await;
        }
    }
}

impl SendHalf {
    /// See [`Stream::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), TransportError> {
        let length = message.encoded_len();
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length).into());
        }
        self.send_bytes(frame::to_bytes(message)).await
    }

    /// See [`Stream::send_bytes`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_bytes(&mut self, mut bytes: Bytes) -> Result<(), TransportError> {
        let sink = self.sink.as_mut().ok_or(TransportError::Closed)?;
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(PART));
            timeout(self.stall, sink.write(part)).await.map_err(|_| TransportError::Timeout)??;
        }
        Ok(())
    }

    /// See [`Stream::finish`].
    pub fn finish(&mut self) {
        match self.sink.take() {
            Some(Sink::Quic(mut send)) => {
                // It fails only if the peer has lost interest.
                let _ = send.finish();
            }
            Some(Sink::Bulk(mut write, permit)) => {
                let stall = self.stall;
                tokio::spawn(async move {
                    let _ = timeout(stall, write.shutdown()).await;
                    drop(permit);
                });
            }
            None => {}
        }
    }

    /// See [`Stream::set_priority`].
    pub fn set_priority(&self, priority: i32) {
        if let Some(Sink::Quic(send)) = &self.sink {
            let _ = send.set_priority(priority);
        }
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        // quinn would end the stream as if all had been said.
        if let Some(Sink::Quic(send)) = &mut self.sink {
            let _ = send.reset(code::ABANDONED);
        }
    }
}

impl Sink {
    async fn write(&mut self, part: Bytes) -> Result<(), TransportError> {
        match self {
            Self::Quic(send) => Ok(send.write_chunk(part).await?),
            Self::Bulk(write, _) => {
                write.write_all(&part).await?;
                Ok(write.flush().await?)
            }
        }
    }
}

impl RecvHalf {
    /// See [`Stream::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv<M: Message + Default>(&mut self) -> Result<Option<M>, TransportError> {
        self.recv_short(MAX_FRAME).await
    }

    /// The peer's next message, if it is not longer than `limit` bytes.
    ///
    /// # Errors
    /// As for [`Stream::recv`], and if it is longer.
    pub async fn recv_short<M: Message + Default>(
        &mut self,
        limit: usize,
    ) -> Result<Option<M>, TransportError> {
        loop {
            let mut whole = 4;
            if let Some(header) = self.buffer.first_chunk::<4>() {
                whole += frame::length(*header, limit)?;
                if self.buffer.len() >= whole {
                    return Ok(frame::decode(&mut self.buffer)?);
                }
            }
            if self.fill(whole - self.buffer.len()).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(TransportError::Truncated),
                };
            }
        }
    }

    /// See [`Stream::recv_bytes`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv_bytes(&mut self, max: usize) -> Result<Option<Bytes>, TransportError> {
        if self.buffer.is_empty() && self.fill(max).await? == 0 {
            return Ok(None);
        }
        let length = self.buffer.len().min(max);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Reads what comes next, with room for about `want` bytes; 0 at the peer's orderly end.
    async fn fill(&mut self, want: usize) -> Result<usize, TransportError> {
        let want = want.clamp(SMALL_READ, LARGE_READ);
        // A new block only when the old one is nearly full: what was handed out of it pins it.
        if self.buffer.capacity() - self.buffer.len() < want.min(LARGE_READ / 4) {
            self.buffer.reserve(want);
        }
        let read = match &mut self.source {
            Source::Quic(recv) => recv.read_buf(&mut self.buffer).await?,
            Source::Bulk(read) => read.read_buf(&mut self.buffer).await?,
        };
        Ok(read)
    }
}

impl std::fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let way = match &self.sink {
            Some(Sink::Quic(_)) => "quic",
            Some(Sink::Bulk(..)) => "tcp",
            None => "finished",
        };
        f.debug_struct("SendHalf").field("way", &way).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RecvHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvHalf").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}
