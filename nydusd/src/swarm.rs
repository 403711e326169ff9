//! Chunks by way of the node's dfdaemon, and from the registry where it is away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use content::Digest;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use image::registry::Repository;
use lazy::{Source, Urgency, Want};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use url::form_urlencoded::Serializer;

use crate::lock::lock;

/// What dfdaemon has not given after so long is asked of the registry.
const LIMIT: Duration = Duration::from_secs(20);

/// So many connections are kept for the next question.
const IDLE: usize = 16;

/// The daemon of this node: HTTP/1.1 over its unix socket.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    runtime: Runtime,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
}

impl Daemon {
    /// The one that listens on `socket`. It need not be there.
    ///
    /// # Errors
    /// If there is no thread for the network.
    pub fn new(socket: &Path) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("dfdaemon").enable_all().build()?;
        Ok(Self { socket: socket.to_owned(), runtime, idle: Mutex::default() })
    }

    /// Exactly `length` bytes of what is at `target`, from `offset` on, if they come within `limit`.
    fn read(&self, target: &str, offset: u64, length: u64, limit: Duration) -> io::Result<Bytes> {
        // Made inside of the runtime, whose clock it takes.
        let asked = async { tokio::time::timeout(limit, self.ask(target, offset, length)).await };
        let in_time = self.runtime.block_on(asked);
        in_time.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn ask(&self, target: &str, offset: u64, length: u64) -> io::Result<Bytes> {
        let idle = lock(&self.idle).pop();
        if let Some(connection) = idle.filter(SendRequest::is_ready) {
            // It may have been closed meanwhile: then a new one is tried.
            if let Ok(bytes) = self.ask_on(connection, target, offset, length).await {
                return Ok(bytes);
            }
        }
        let stream = UnixStream::connect(&self.socket).await?;
        let (connection, driver) =
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(driver);
        self.ask_on(connection, target, offset, length).await
    }

    async fn ask_on(
        &self,
        mut connection: SendRequest<Empty<Bytes>>,
        target: &str,
        offset: u64,
        length: u64,
    ) -> io::Result<Bytes> {
        let last = offset.saturating_add(length).saturating_sub(1);
        let request = Request::get(target)
            .header(header::HOST, "dfdaemon")
            .header(header::RANGE, format!("bytes={offset}-{last}"))
            .body(Empty::new())
            .map_err(io::Error::other)?;
        let response = connection.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(io::Error::other(format!("dfdaemon says {}", response.status())));
        }
        let most = usize::try_from(length).map_err(io::Error::other)?;
        let body = Limited::new(response.into_body(), most).collect().await;
        let bytes = body.map_err(io::Error::other)?.to_bytes();
        if bytes.len() != most {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if connection.ready().await.is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        Ok(bytes)
    }
}

/// One blob of an image in a registry.
#[derive(Debug)]
pub struct Swarm {
    daemon: Arc<Daemon>,
    target: String,
    registry: Arc<dyn Source>,
}

impl Swarm {
    /// The blob `digest` of `repository`; `registry` has it too.
    #[must_use]
    pub fn new(
        daemon: Arc<Daemon>,
        repository: &Repository,
        digest: &Digest,
        registry: Arc<dyn Source>,
    ) -> Self {
        let query = Serializer::new(String::new())
            .append_pair("registry", repository.registry())
            .append_pair("repository", repository.name())
            .append_pair("digest", &digest.to_string())
            .finish();
        Self { daemon, target: format!("/v1/blob?{query}"), registry }
    }
}

impl Source for Swarm {
    fn read(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        let priority = match want.urgency {
            Urgency::Blocked => "blocked",
            Urgency::Prefetch => "prefetch",
        };
        let target = format!("{}&priority={priority}", self.target);
        // So that there is time left for the registry.
        let limit = LIMIT.min(want.left() / 2);
        self.daemon.read(&target, offset, length, limit).or_else(|error| {
            tracing::debug!(%error, "not by way of dfdaemon: asking the registry");
            self.registry.read(offset, length, want)
        })
    }

    /// What came by way of others was not right: the registry's own.
    fn read_again(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        self.registry.read_again(offset, length, want)
    }
}
