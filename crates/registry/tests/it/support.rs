//! A scripted HTTP server that remembers what it was asked, and a client that is in a hurry.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use content::Digest;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use registry::{BlobStream, Error, Registries, RegistriesConfig, RegistryConfig, Repository};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    /// The first byte that was asked for.
    pub(crate) fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split_once('-')?.0.parse().ok()
    }
}

/// What the server answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length_declared: bool,
    cut_at: Option<usize>,
    stall_at: Option<usize>,
    delay: Duration,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            length_declared: true,
            cut_at: None,
            stall_at: None,
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends the body in chunks, without a length.
    pub(crate) fn chunked(mut self) -> Self {
        self.length_declared = false;
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub(crate) fn cut_at(mut self, at: usize) -> Self {
        self.cut_at = Some(at);
        self
    }

    /// Falls silent after so many bytes of the body.
    pub(crate) fn stall_at(mut self, at: usize) -> Self {
        self.stall_at = Some(at);
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// What a good server says to a request for (a part of) `object`.
    pub(crate) fn ranged(seen: &Seen, object: &[u8]) -> Self {
        let total = object.len();
        let Some(start) = seen.range_start() else {
            return Self::new(200, object);
        };
        if start >= total {
            return Self::new(416, "").header("content-range", format!("bytes */{total}"));
        }
        let range = seen.header("range").unwrap();
        let last = range.rsplit_once('-').unwrap().1.parse::<usize>();
        let end = last.map_or(total, |last| (last + 1).min(total));
        Self::new(206, &object[start..end])
            .header("content-range", format!("bytes {start}-{}/{total}", end - 1))
    }

    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self::new(307, "moved").header("location", to)
    }

    pub(crate) fn challenge(realm: &str) -> Self {
        let scope = "repository:team/app:pull";
        Self::new(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#).header(
            "www-authenticate",
            format!(r#"Bearer realm="{realm}",service="svc",scope="{scope}""#),
        )
    }

    pub(crate) fn token(token: &str, expires_in: u64) -> Self {
        Self::new(200, format!(r#"{{"token":"{token}","expires_in":{expires_in}}}"#))
    }

    async fn send(self) -> Response<Script> {
        tokio::time::sleep(self.delay).await;
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        if self.length_declared && !self.headers.iter().any(|(n, _)| n == "content-length") {
            response = response.header("content-length", self.body.len());
        }
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.feed(sender));
        response.body(Script(receiver)).unwrap()
    }

    async fn feed(self, sender: mpsc::Sender<io::Result<Bytes>>) {
        let end = self.cut_at.or(self.stall_at).unwrap_or(self.body.len());
        let mut chunks: VecDeque<_> = self.body[..end].chunks(64 * 1024).collect();
        while let Some(chunk) = chunks.pop_front() {
            if sender.send(Ok(Bytes::copy_from_slice(chunk))).await.is_err() {
                return;
            }
        }
        if self.cut_at.is_some() {
            // What was sent before has to be on its way.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let _ = sender.send(Err(io::Error::other("cut"))).await;
        }
        if self.stall_at.is_some() {
            sender.closed().await;
        }
    }
}

struct Script(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|next| Some(next?.map(Frame::data)))
    }
}

type Handler = dyn Fn(&Seen) -> Answer + Send + Sync;

/// A server on a loopback port of its own.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(|_| handler, None).await
    }

    /// The handler is made once the server's own URL is known.
    pub(crate) async fn start_with<H>(
        make: impl FnOnce(&Self) -> H,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self
    where
        H: Fn(&Seen) -> Answer + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            seen: Arc::default(),
        };
        let handler: Arc<Handler> = Arc::new(make(&server));
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, handler) = (accepting.clone(), Arc::clone(&handler));
                tokio::spawn(server.connection(stream, tls.clone(), handler));
            }
        });
        server
    }

    async fn connection(
        self,
        stream: TcpStream,
        tls: Option<tokio_rustls::TlsAcceptor>,
        handler: Arc<Handler>,
    ) {
        match tls {
            None => self.serve(stream, handler).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    self.serve(stream, handler).await;
                }
            }
        }
    }

    async fn serve<S>(self, stream: S, handler: Arc<Handler>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let (server, handler) = (self.clone(), Arc::clone(&handler));
            async move { Ok::<_, Infallible>(server.answer(request, &*handler).await) }
        });
        let serving = hyper::server::conn::http1::Builder::new();
        let _ = serving.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>, handler: &Handler) -> Response<Script> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let seen = Seen {
            method: head.method.to_string(),
            uri: head.uri.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        handler(&seen).send().await
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The same place by its name.
    pub(crate) fn named_url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::new(&self.host(), "team/app").unwrap()
    }

    /// Its entry in a configuration.
    pub(crate) fn config(&self) -> RegistryConfig {
        let mut config = RegistryConfig::new(self.host());
        config.http = self.scheme == "http";
        config
    }
}

pub(crate) fn hurried() -> RegistriesConfig {
    RegistriesConfig {
        registry: Vec::new(),
        retries: 3,
        retry_pause: Duration::from_millis(10),
        read_timeout: Duration::from_secs(5),
        ..RegistriesConfig::default()
    }
}

/// A client that knows these registries.
pub(crate) fn client(registry: impl Into<Vec<RegistryConfig>>) -> Registries {
    let config = RegistriesConfig { registry: registry.into(), ..hurried() };
    Registries::new(config).unwrap()
}

/// Bytes that differ from place to place.
pub(crate) fn object(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("/v2/team/app/blobs/{digest}")
}

pub(crate) async fn read(stream: &mut BlobStream) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}
