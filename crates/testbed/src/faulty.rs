//! A registry with faults that no real one can be made to have.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use content::Digest;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::cluster::Site;
use crate::image::{Image, MANIFEST};
use blobs::{PART, blob_answer};
use link::Link;

mod blobs;
mod link;

/// What is wrong with the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// One bit of every layer is flipped.
    FlippedBit,
    /// One bit of every layer is flipped, and blobs come at so many bytes a second.
    FlippedSlowly(usize),
    /// Every connection ends after so many bytes of a blob.
    CutAfter(usize),
    /// Blobs come at so many bytes a second.
    Slow(usize),
    /// All blobs together come at so many bytes a second, however many there are at once; who does not
    /// read is sent little ahead.
    Narrow(usize),
    /// Every blob is answered with this status.
    Status(u16),
    /// Every blob is answered by a redirect to there.
    Redirect(String),
    /// The next so many requests for blobs are answered with this status, and asked to come back
    /// after so many seconds.
    Busy {
        /// How many.
        times: usize,
        /// The status.
        status: u16,
        /// The seconds of `Retry-After`, if it says so.
        retry_after: Option<u64>,
    },
    /// Blobs need a token from this realm; ours is [`FaultyRegistry::realm`]. A token is good for
    /// one answer, which is cut after so many bytes.
    Tokens {
        /// What the challenge names.
        realm: String,
        /// The bytes that a token is good for.
        bytes: usize,
    },
}

/// The registry.
#[derive(Clone, Debug)]
pub struct FaultyRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    image: Image,
    fault: Fault,
    requests: Vec<String>,
    times: Vec<Instant>,
    link: Link,
    /// Tokens that were issued and not yet used, by number.
    tokens: BTreeSet<usize>,
    issued: usize,
}

type Body = BoxBody<Bytes, std::io::Error>;

impl FaultyRegistry {
    /// Serves `image` as tag `v1` of every repository.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(image: &Image, fault: Fault) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let registry = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(State {
                image: image.clone(),
                fault,
                requests: Vec::new(),
                times: Vec::new(),
                link: Link::default(),
                tokens: BTreeSet::new(),
                issued: 0,
            })),
        };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = serving.clone();
                let service = hyper::service::service_fn(move |request| {
                    let registry = registry.clone();
                    async move { Ok::<_, Infallible>(registry.answer(&request)) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                if matches!(serving.state().fault, Fault::Narrow(_)) {
                    link::narrow(&stream);
                    server.max_buf_size(PART);
                }
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(registry)
    }

    /// Its host, as references have it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// How a supernode or node is told of it.
    #[must_use]
    pub fn site(&self) -> Site {
        Site::http(&self.host(), self.address)
    }

    /// From now on this is wrong with it.
    pub fn set(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// The requests that it saw, `METHOD path range`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// When those requests came, in the same order.
    #[must_use]
    pub fn times(&self) -> Vec<Instant> {
        self.state().times.clone()
    }

    /// Where this registry gives out tokens.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// A token as a client gets it, as the value of `Authorization`.
    #[must_use]
    pub fn token(&self) -> String {
        format!("Bearer {}", self.state().issue())
    }

    /// How many tokens were given out.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.state().issued
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let range = request.headers().get("range").and_then(|value| value.to_str().ok());
        let path = request.uri().path();
        let head = request.method() == http::Method::HEAD;
        let mut state = self.state();
        let line = format!("{} {path} {}", request.method(), range.unwrap_or_default());
        state.requests.push(line);
        state.times.push(Instant::now());
        if path == "/token" {
            let token = state.issue();
            return json(serde_json::json!({ "token": token, "expires_in": 300 }).to_string());
        }
        if path.contains("/manifests/") {
            return manifest(&state.image, head);
        }
        let Some(blob) = path.rsplit_once("/blobs/").and_then(|(_, digest)| {
            state.image.blobs().find(|blob| Digest::of(blob).to_string() == digest).cloned()
        }) else {
            return plain(StatusCode::NOT_FOUND);
        };
        let said = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if let Some(refusal) = state.refusal(said, head) {
            return refusal;
        }
        if head && !matches!(state.fault, Fault::Status(_)) {
            let mut response = plain(StatusCode::OK);
            response.headers_mut().insert("content-length", blob.len().into());
            return response;
        }
        blob_answer(&blob, &state.fault, &state.link, range)
    }
}

impl State {
    fn issue(&mut self) -> String {
        self.issued += 1;
        self.tokens.insert(self.issued);
        format!("token-{}", self.issued)
    }

    /// Why a blob is not to be had now.
    fn refusal(&mut self, authorization: Option<&str>, head: bool) -> Option<Response<Body>> {
        match &mut self.fault {
            Fault::Busy { times, status, retry_after } if *times > 0 => {
                *times -= 1;
                let mut response = plain(StatusCode::from_u16(*status).unwrap_or_default());
                if let Some(seconds) = *retry_after {
                    response.headers_mut().insert("retry-after", seconds.into());
                }
                Some(response)
            }
            Fault::Tokens { realm, .. } => {
                let shown = authorization.and_then(|value| value.strip_prefix("Bearer token-"));
                let number = shown.and_then(|number| number.parse().ok()).unwrap_or(0);
                let good =
                    if head { self.tokens.contains(&number) } else { self.tokens.remove(&number) };
                (!good).then(|| challenge(realm))
            }
            _ => None,
        }
    }
}

fn challenge(realm: &str) -> Response<Body> {
    let mut response = plain(StatusCode::UNAUTHORIZED);
    let told = format!("Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:app:pull\"");
    if let Ok(told) = told.parse() {
        response.headers_mut().insert("www-authenticate", told);
    }
    response
}

fn json(text: String) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed());
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

fn manifest(image: &Image, head: bool) -> Response<Body> {
    let body = if head { Bytes::new() } else { image.manifest().clone() };
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static(MANIFEST));
    headers.insert("content-length", image.manifest().len().into());
    if let Ok(digest) = image.digest().to_string().parse() {
        headers.insert("docker-content-digest", digest);
    }
    response
}
