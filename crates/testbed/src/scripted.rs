//! A registry that says what a test has written for it, and remembers what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::cluster::Site;

/// What the registry says to one request.
#[derive(Debug)]
pub enum Line {
    /// This.
    Says(Response<Bytes>),
    /// Nothing: the request hangs until the client goes away.
    Silence,
}

type Script = dyn Fn(&Parts) -> Line + Send + Sync;

/// The registry.
#[derive(Clone)]
pub struct Scripted {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    script: Arc<Script>,
}

/// A request that the registry heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// GET, HEAD, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl Heard {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Scripted {
    /// Starts one that answers by `script`.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(
        script: impl Fn(&Parts) -> Line + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let registry = Self {
            address: listener.local_addr()?,
            heard: Arc::default(),
            script: Arc::new(script),
        };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = serving.clone();
                let service = hyper::service::service_fn(move |request: http::Request<_>| {
                    let registry = registry.clone();
                    async move {
                        let (parts, _body): (Parts, hyper::body::Incoming) = request.into_parts();
                        Ok::<_, Infallible>(registry.answer(&parts).await)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(registry)
    }

    async fn answer(&self, parts: &Parts) -> Response<Full<Bytes>> {
        let heard = Heard {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers.clone(),
        };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        match (self.script)(parts) {
            Line::Says(response) => response.map(Full::new),
            Line::Silence => std::future::pending().await,
        }
    }

    /// Its host, as references have it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How a supernode or node is told of it.
    #[must_use]
    pub fn site(&self) -> Site {
        Site::http(&self.host(), self.address)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("address", &self.address).finish_non_exhaustive()
    }
}

/// An answer: status, headers, body.
///
/// # Panics
/// If a header is none.
#[must_use]
pub fn says(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Line {
    let response = headers.iter().fold(Response::builder().status(status), |response, header| {
        response.header(header.0, header.1)
    });
    Line::Says(response.body(body.into()).expect("status and headers that HTTP allows"))
}
