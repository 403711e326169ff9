//! A small HTTP/1.1 client: one request, one connection.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; what came of it, if it ended short.
    pub body: Bytes,
    /// Whether the body ended as announced.
    pub complete: bool,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request; the answer's body is to be read.
///
/// # Errors
/// If nobody answers.
pub async fn open(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Response<Incoming>> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nobody listens on {address}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(target).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(sender.send_request(request.body(Full::new(body))?).await?)
}

/// Sends a request and reads the whole answer, however it ends.
///
/// # Errors
/// If nobody answers.
pub async fn send(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Answer> {
    let response = open(address, method, target, headers, body).await?;
    let (parts, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let mut complete = true;
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(_) => {
                complete = false;
                break;
            }
        }
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.into(), complete })
}

/// GETs.
///
/// # Errors
/// If nobody answers.
pub async fn get(
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    send(address, Method::GET, target, headers, Bytes::new()).await
}
