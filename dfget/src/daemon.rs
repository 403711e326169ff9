//! Through the node's dfdaemon: HTTP/1.1 over its unix socket.

use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use url::form_urlencoded::Serializer;

use crate::error::Error;
use crate::get::Answer;
use crate::part::Part;
use crate::source::Source;

/// An open answer of the daemon.
#[derive(Debug)]
pub struct Stream(Response<Incoming>);

/// Asks for the part of a source that is still missing. `None` where no daemon runs.
///
/// # Errors
/// What the daemon says.
pub async fn open(
    socket: &Path,
    source: &Source,
    authorization: Option<&str>,
    digest: Option<content::Digest>,
    part: &Part,
) -> Result<Option<Answer>, Error> {
    let Ok(stream) = UnixStream::connect(socket).await else {
        return Ok(None);
    };
    let broken = |error: hyper::Error| Error::Unreachable(format!("dfdaemon: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    let mut request = Request::get(target(source, digest)).header(header::HOST, "dfdaemon");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if let (true, Some(tag)) = (part.length() > 0, part.tag()) {
        request = request
            .header(header::RANGE, format!("bytes={}-", part.length()))
            .header(header::IF_RANGE, format!("\"{tag}\""));
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| Error::Usage(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    answer(response, part).await.map(Some)
}

fn target(source: &Source, digest: Option<content::Digest>) -> String {
    let mut query = Serializer::new(String::new());
    match source {
        Source::Url(url) => {
            query.append_pair("url", url.as_str());
            if let Some(digest) = digest {
                query.append_pair("digest", &digest.to_string());
            }
            format!("/v1/url?{}", query.finish())
        }
        Source::Blob(repository, digest) => {
            query
                .append_pair("registry", repository.registry())
                .append_pair("repository", repository.name())
                .append_pair("digest", &digest.to_string());
            format!("/v1/blob?{}", query.finish())
        }
    }
}

async fn answer(response: Response<Incoming>, part: &Part) -> Result<Answer, Error> {
    let text = |name: header::HeaderName| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.trim_matches('"').to_owned())
    };
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let tag = text(header::ETAG);
    match response.status() {
        StatusCode::OK => Ok(Answer {
            start: 0,
            total: length,
            tag,
            stream: crate::get::Stream::Daemon(Stream(response)),
        }),
        StatusCode::PARTIAL_CONTENT => Ok(Answer {
            start: part.length(),
            total: length.map(|length| length + part.length()),
            tag,
            stream: crate::get::Stream::Daemon(Stream(response)),
        }),
        // All of it has come before.
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(Answer {
            start: part.length(),
            total: Some(part.length()),
            tag: part.tag().map(ToOwned::to_owned),
            stream: crate::get::Stream::Empty,
        }),
        _ => Err(refusal(response).await),
    }
}

/// The daemon's word on why not: at most 64 KiB of it.
async fn refusal(response: Response<Incoming>) -> Error {
    #[derive(serde::Deserialize)]
    struct Told {
        error: String,
        kind: String,
    }
    let body = Limited::new(response.into_body(), 64 * 1024).collect().await;
    let told = body.ok().and_then(|body| serde_json::from_slice::<Told>(&body.to_bytes()).ok());
    match told {
        Some(told) => match told.kind.as_str() {
            "not-admitted" | "not-shared" | "unavailable" => Error::NotShared(told.error),
            "refused" => Error::Refused(told.error),
            _ => Error::Unreachable(told.error),
        },
        None => Error::Unreachable("dfdaemon gave an answer that cannot be read".into()),
    }
}

impl Stream {
    /// The next bytes.
    ///
    /// # Errors
    /// If the answer ends short.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.0.body_mut().frame().await {
            let frame = frame.map_err(|error| Error::Unreachable(format!("dfdaemon: {error}")))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
