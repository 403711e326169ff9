//! A range that is here, verified and whole, as a body: the kernel sends it from the page cache.
//!
//! The last few bytes are read, and go after all the others: by then it is known that nothing of
//! the task was found damaged meanwhile, so no answer is ever complete and wrong.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rustix::io::ReadWriteFlags;
use store::Ready;
use sys::Mapping;

use super::outlet::Outlet;

/// So much is handed to the kernel at once, and loaded from the disk first where it is not in
/// memory.
const WINDOW: u64 = 4 << 20;

/// A range up to this is read: cheaper than a mapping and a second call.
const SMALL: u64 = 16 << 10;

/// Of a longer range so much is read at its end, at most.
const TAIL: u64 = 4 << 10;

/// The body for `ready`'s range on the connection of `outlet`.
pub(crate) fn body(ready: Ready, outlet: Outlet, request_id: String) -> Body {
    let sending = Sending { at: ready.range().start, ready: Arc::new(ready), outlet };
    Body::from_stream(stream::unfold(Some((sending, request_id)), |state| async {
        let (mut sending, request_id) = state?;
        match sending.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((sending, request_id)))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(request = %request_id, %error, "a blob ends short");
                Some((Err(error), None))
            }
        }
    }))
}

struct Sending {
    ready: Arc<Ready>,
    outlet: Outlet,
    at: u64,
}

impl Sending {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let (at, end) = (self.at, self.ready.range().end);
        let tail = tail(self.ready.range().start, end);
        if at >= end {
            return Ok(None);
        }
        if at < tail {
            self.at = (at + WINDOW).min(tail);
            return self.window(at, self.at).await.map(Some);
        }
        self.at = end;
        let bytes = self.read(at, end).await?;
        if !self.ready.holds() {
            return Err(io::Error::other("the stored bytes went away"));
        }
        Ok(Some(bytes))
    }

    async fn window(&self, start: u64, end: u64) -> io::Result<Bytes> {
        let mut mapping = Mapping::of(self.ready.file(), start..end)?;
        let all = 0..mapping.as_ref().len();
        if !mapping.is_loaded(all.clone())? {
            let loaded = tokio::task::spawn_blocking(move || {
                // A disk that cannot be read shows when it is sent from.
                let _ = mapping.load(all);
                mapping
            });
            mapping = loaded.await.map_err(io::Error::other)?;
        }
        Ok(self.outlet.part(mapping, &self.ready, start))
    }

    /// Reads at once what is in memory, and elsewhere what the disk must be waited for.
    async fn read(&self, start: u64, end: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        let slices = &mut [io::IoSliceMut::new(&mut bytes)];
        let now = rustix::io::preadv2(self.ready.file(), slices, start, ReadWriteFlags::NOWAIT);
        if now == Ok(bytes.len()) {
            return Ok(bytes.into());
        }
        let file = Arc::clone(self.ready.file());
        let read = tokio::task::spawn_blocking(move || {
            use std::os::unix::fs::FileExt;
            file.read_exact_at(&mut bytes, start).map(|()| bytes)
        });
        Ok(read.await.map_err(io::Error::other)??.into())
    }
}

/// Where the bytes begin that are read.
fn tail(start: u64, end: u64) -> u64 {
    if end - start <= SMALL { start } else { (end - 1) / TAIL * TAIL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_bytes_always_come_last() {
        for (start, end) in
            [(0, 1), (0, SMALL), (0, SMALL + 1), (5, 1 << 20), (4095, 1 << 30), (7, 40_001)]
        {
            let tail = tail(start, end);
            assert!(start <= tail && tail < end && end - tail <= SMALL);
        }
    }
}
