//! What a hostile node answers to those who ask it for pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use content::{Digest, Layout, PieceProof, TaskId};
use transport::{Endpoint, Stream, TransportError};
use wire::data::{Fetch, PieceHeader, Verdict};
use wire::request::{Asks, Request};

/// How it lies about the pieces that it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The true proof, and one bit of the bytes flipped.
    WrongBytes,
    /// One bit of the bytes flipped, and a proof that agrees with them.
    WrongProof,
    /// The header announces one byte more than the piece has.
    TooLong,
    /// The right piece, and then bytes that nobody asked for.
    TooMany,
    /// Half of the piece, then an orderly end.
    TooFew,
    /// The piece before or after the one that was asked for.
    OtherPiece,
    /// It takes the request and never answers.
    Silent,
    /// The header, then one byte a second.
    Trickle,
    /// It has not got what it claimed.
    Missing,
}

/// The lies of one node. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Liar {
    manner: Manner,
    bytes: Bytes,
    asked: Arc<AtomicUsize>,
}

impl Liar {
    pub(crate) fn new(manner: Manner, bytes: Bytes) -> Self {
        Self { manner, bytes, asked: Arc::default() }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The task whose pieces it claims.
    pub(crate) fn task(&self) -> String {
        TaskId::Blob(Digest::of(&self.bytes)).to_string()
    }

    /// That task's cut.
    pub(crate) fn layout(&self) -> anyhow::Result<Layout> {
        Ok(Layout::for_length(self.bytes.len() as u64)?)
    }

    fn piece(&self, index: u32) -> Bytes {
        let extent = self.layout().ok().and_then(|layout| layout.extent(index));
        let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        extent.map_or_else(Bytes::new, |extent| {
            self.bytes.slice(place(extent.start)..place(extent.end))
        })
    }

    async fn answer(&self, ask: Fetch, mut stream: Stream) -> Result<(), TransportError> {
        match self.manner {
            Manner::Silent => std::future::pending().await,
            Manner::Missing => {
                let missing = PieceHeader {
                    verdict: Verdict::Missing.into(),
                    index: ask.first,
                    ..PieceHeader::default()
                };
                stream.send(&missing).await?;
            }
            _ => {
                for index in ask.first..ask.end {
                    self.send(index, &mut stream).await?;
                }
            }
        }
        stream.done();
        Ok(())
    }

    async fn send(&self, index: u32, stream: &mut Stream) -> Result<(), TransportError> {
        let true_piece = self.piece(index);
        let mut wrong = true_piece.to_vec();
        if let Some(byte) = wrong.last_mut() {
            *byte ^= 1;
        }
        let mut header = header(index, &true_piece);
        match self.manner {
            Manner::WrongBytes => send(stream, &header, wrong).await,
            Manner::WrongProof => {
                header.proof = PieceProof::of(&wrong).to_bytes();
                send(stream, &header, wrong).await
            }
            Manner::TooLong => {
                header.length += 1;
                wrong.push(0);
                send(stream, &header, wrong).await
            }
            Manner::TooMany => {
                send(stream, &header, true_piece.to_vec()).await?;
                stream.send_bytes(crate::image::random(100_000)).await
            }
            Manner::OtherPiece => {
                let other = index ^ 1;
                header.index = other;
                send(stream, &header, self.piece(other).to_vec()).await
            }
            Manner::TooFew => {
                wrong.truncate(true_piece.len() / 2);
                send(stream, &header, wrong).await?;
                stream.finish();
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err(TransportError::Closed)
            }
            Manner::Trickle => {
                stream.send(&header).await?;
                for byte in true_piece.chunks(1) {
                    stream.send_bytes(Bytes::copy_from_slice(byte)).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(())
            }
            Manner::Silent | Manner::Missing => Ok(()),
        }
    }
}

fn header(index: u32, piece: &[u8]) -> PieceHeader {
    PieceHeader {
        verdict: Verdict::Follows.into(),
        index,
        length: piece.len() as u64,
        proof: PieceProof::of(piece).to_bytes(),
    }
}

async fn send(
    stream: &mut Stream,
    header: &PieceHeader,
    bytes: Vec<u8>,
) -> Result<(), TransportError> {
    stream.send(header).await?;
    stream.send_bytes(bytes.into()).await
}

/// Lies to whoever comes, until the endpoint closes.
pub(crate) async fn serve(endpoint: Endpoint, liar: Liar) {
    while let Some(connection) = endpoint.accept().await {
        let liar = liar.clone();
        tokio::spawn(async move {
            while let Some((request, stream)) = connection.accept().await {
                tokio::spawn(hear(liar.clone(), request, stream));
            }
        });
    }
}

async fn hear(liar: Liar, request: Request, stream: Stream) {
    liar.asked.fetch_add(1, Ordering::Relaxed);
    if let Some(Asks::Fetch(ask)) = request.asks {
        // The one who was lied to may leave at any time.
        let _ = liar.answer(ask, stream).await;
    }
}
