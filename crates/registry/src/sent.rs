//! The body of a request.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http::header::HeaderValue;
use http_body::Frame;
use http_body_util::StreamBody;
use zeroize::Zeroizing;

/// So much of a file is read at a time.
const READ: u64 = 256 << 10;

/// Who takes fewer bytes in a second is not waited for.
const SLOWEST: u64 = 16 << 10;

/// The body of a request.
#[derive(Clone)]
pub(crate) enum Sent {
    /// A form, for token requests.
    Form(Zeroizing<String>),
    /// Bytes of a media type.
    Bytes(HeaderValue, Bytes),
    /// The beginning of a file, of this length.
    File(Arc<File>, u64),
}

impl Sent {
    pub(crate) fn media_type(&self) -> HeaderValue {
        match self {
            Self::Form(_) => HeaderValue::from_static("application/x-www-form-urlencoded"),
            Self::Bytes(media_type, _) => media_type.clone(),
            Self::File(..) => HeaderValue::from_static("application/octet-stream"),
        }
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Form(form) => form.len() as u64,
            Self::Bytes(_, bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// How long sending it may take at most.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.length() / SLOWEST)
    }

    pub(crate) fn body(&self) -> reqwest::Body {
        match self {
            Self::Form(form) => form.as_bytes().to_vec().into(),
            Self::Bytes(_, bytes) => bytes.clone().into(),
            Self::File(file, length) => {
                let frames = parts(Arc::clone(file), *length).map_ok(Frame::data);
                reqwest::Body::wrap(StreamBody::new(Box::pin(frames)))
            }
        }
    }
}

fn parts(file: Arc<File>, length: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(0, move |at| {
        let file = Arc::clone(&file);
        async move {
            let count = READ.min(length - at);
            if count == 0 {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || {
                let mut part = vec![0; usize::try_from(count).unwrap_or_default()];
                file.read_exact_at(&mut part, at).map(|()| part)
            });
            let part = read.await.map_err(io::Error::other)??;
            Ok(Some((Bytes::from(part), at + count)))
        }
    })
}
