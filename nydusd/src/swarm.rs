//! Chunks by way of the node's dfdaemon, and from the registry where it is away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use content::Digest;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use image::registry::{Credential, Repository};
use lazy::{Source, Urgency, Want};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use url::form_urlencoded::Serializer;

use crate::grants::Grants;
use crate::lock::lock;
use crate::origin::Origin;
use crate::tally::{From, Tally};

/// What dfdaemon has not given after so long is asked of the registry.
const LIMIT: Duration = Duration::from_secs(20);

/// So many connections are kept for the next question.
const IDLE: usize = 16;

/// What dfdaemon is asked for.
#[derive(Debug)]
struct Part {
    target: String,
    /// Goes over the unix socket and nowhere else.
    credential: Option<Credential>,
    offset: u64,
    length: u64,
}

/// The daemon of this node: HTTP/1.1 over its unix socket.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    runtime: Runtime,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
    tally: Tally,
}

impl Daemon {
    /// The one that listens on `socket`. It need not be there. What it gives counts in `tally`.
    ///
    /// # Errors
    /// If there is no thread for the network.
    pub fn new(socket: &Path, tally: Tally) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("dfdaemon").enable_all().build()?;
        Ok(Self { socket: socket.to_owned(), runtime, idle: Mutex::default(), tally })
    }

    /// Where what comes is counted, by whomever it is given.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Exactly the bytes of a part, if they come within `limit`.
    fn read(&self, part: &Part, limit: Duration) -> io::Result<Bytes> {
        // Made inside of the runtime, whose clock it takes.
        let asked = async { tokio::time::timeout(limit, self.ask(part)).await };
        let in_time = self.runtime.block_on(asked);
        in_time.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn ask(&self, part: &Part) -> io::Result<Bytes> {
        let idle = lock(&self.idle).pop();
        if let Some(connection) = idle.filter(SendRequest::is_ready) {
            // It may have been closed meanwhile: then a new one is tried.
            if let Ok(bytes) = self.ask_on(connection, part).await {
                return Ok(bytes);
            }
        }
        let stream = UnixStream::connect(&self.socket).await?;
        let (connection, driver) =
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(driver);
        self.ask_on(connection, part).await
    }

    async fn ask_on(
        &self,
        mut connection: SendRequest<Empty<Bytes>>,
        part: &Part,
    ) -> io::Result<Bytes> {
        let Part { target, credential, offset, length } = part;
        let last = offset.saturating_add(*length).saturating_sub(1);
        let mut request = Request::get(target)
            .header(header::HOST, "dfdaemon")
            .header(header::RANGE, format!("bytes={offset}-{last}"));
        if let Some(credential) = credential {
            let value = HeaderValue::from_str(credential.expose());
            let mut value = value.map_err(io::Error::other)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Empty::new()).map_err(io::Error::other)?;
        let response = connection.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(io::Error::other(format!("dfdaemon says {}", response.status())));
        }
        let most = usize::try_from(*length).map_err(io::Error::other)?;
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
    repository: Repository,
    digest: Digest,
    registry: Origin,
    /// What dfdaemon is shown.
    shown: Mutex<Shown>,
    grants: Arc<Grants>,
}

/// What proves to a registry that we may read, as dfdaemon is shown it. The same for as long as it is
/// good: what was granted to it stays granted while the registry is away.
#[derive(Debug, Default)]
struct Shown {
    credential: Option<Credential>,
    /// Whether it was good for the last read.
    good: bool,
}

impl Swarm {
    /// The blob `digest` of `repository`; `registry` has it too, and `grants` remembers that.
    #[must_use]
    pub fn new(
        daemon: Arc<Daemon>,
        repository: &Repository,
        digest: &Digest,
        registry: Origin,
        grants: Arc<Grants>,
    ) -> Self {
        let query = Serializer::new(String::new())
            .append_pair("registry", repository.registry())
            .append_pair("repository", repository.name())
            .append_pair("digest", &digest.to_string())
            .finish();
        let (repository, digest) = (repository.clone(), *digest);
        let target = format!("/v1/blob?{query}");
        Self { daemon, target, repository, digest, registry, shown: Mutex::default(), grants }
    }

    fn by_way_of_dfdaemon(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        let priority = match want.urgency {
            Urgency::Blocked => "blocked",
            Urgency::Prefetch => "prefetch",
        };
        // So that there is time left for the registry.
        let limit = LIMIT.min(want.left() / 2);
        let target = format!("{}&priority={priority}", self.target);
        let credential = self.credential(&Want::within(limit, want.urgency));
        let read = self.daemon.read(&Part { target, credential, offset, length }, limit);
        // It may have expired. If it has not, asking for it once more costs nothing.
        lock(&self.shown).good = read.is_ok();
        read
    }

    fn credential(&self, want: &Want) -> Option<Credential> {
        let shown = lock(&self.shown);
        let before = shown.credential.clone();
        if shown.good {
            return before;
        }
        drop(shown);
        let credential = self.registry.authorization(want).unwrap_or_else(|error| {
            tracing::debug!(%error, "what is shown to the registry is not renewed");
            before
        });
        lock(&self.shown).credential.clone_from(&credential);
        credential
    }
}

impl Source for Swarm {
    fn read(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        let given = self.by_way_of_dfdaemon(offset, length, want);
        if given.is_ok() {
            self.daemon.tally.given(From::Dfdaemon, length);
        }
        given.or_else(|error| {
            tracing::debug!(%error, "not by way of dfdaemon: asking the registry");
            self.registry.read(offset, length, want)
        })
    }

    /// What came by way of others was not right: the registry's own.
    fn read_again(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        self.registry.read_again(offset, length, want)
    }

    /// While the registry is away, it counts that it has said so within a day.
    fn confirm(&self, want: &Want) -> io::Result<()> {
        let ask = |want: &Want| self.registry.confirm(want);
        self.grants.confirm(&self.repository, &self.digest, want, ask)
    }

    fn granted(&self) {
        self.grants.note(&self.repository, &self.digest);
    }
}
