//! The node's dfdaemon, asked over its unix socket. As long as it answers anything it may take its time,
//! up to the reader's limit.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use image::registry::Credential;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::answer::{Failed, meaning};
use crate::lock::lock;
use crate::tally::Tally;

/// Without a byte for so long, it is seen whether dfdaemon is there at all.
const QUIET: Duration = Duration::from_secs(5);

/// The same where its reader has little time.
const QUIET_AT_LEAST: Duration = Duration::from_millis(200);

/// Who is there answers a question for nothing within so long.
const ANSWERS: Duration = Duration::from_secs(2);

/// Who did not is away for so long.
const SILENT: Duration = Duration::from_secs(10);

/// So many connections are kept for the next question.
const IDLE: usize = 16;

/// So long an error may be, in bytes.
const ERROR: usize = 64 << 10;

type Connection = SendRequest<Empty<Bytes>>;

/// What dfdaemon is asked for.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) target: String,
    /// Goes over the unix socket and nowhere else.
    pub(super) credential: Option<Credential>,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The daemon of this node: HTTP/1.1 over its unix socket.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    runtime: Runtime,
    idle: Mutex<Vec<Connection>>,
    /// Until when it is left alone: it was silent.
    silent: Mutex<Option<Instant>>,
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
        let (socket, idle, silent) = (socket.to_owned(), Mutex::default(), Mutex::default());
        Ok(Self { socket, runtime, idle, silent, tally })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where what comes is counted, by whomever it is given.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Exactly the bytes of a part, before `until`.
    pub(super) fn read(&self, part: &Part, until: Instant) -> Result<Bytes, Failed> {
        let silent = lock(&self.silent).is_some_and(|silent| Instant::now() < silent);
        if silent {
            return Err(Failed::Away(io::ErrorKind::TimedOut.into()));
        }
        self.runtime.block_on(self.read_until(part, until))
    }

    /// Waits as long as something comes, or dfdaemon is there at least.
    async fn read_until(&self, part: &Part, until: Instant) -> Result<Bytes, Failed> {
        let heard = Cell::new(Instant::now());
        let mut asked = std::pin::pin!(self.ask(part, &heard));
        loop {
            let left = until.saturating_duration_since(heard.get());
            let quiet = QUIET.min(left / 3).max(QUIET_AT_LEAST);
            let look = heard.get().checked_add(quiet).unwrap_or(until).min(until);
            if let Ok(done) = tokio::time::timeout_at(look.into(), &mut asked).await {
                return done;
            }
            let now = Instant::now();
            if now >= until {
                return Err(Failed::Busy("nothing within the time there is".to_owned()));
            }
            // Something may have come meanwhile.
            if now < heard.get().checked_add(quiet).unwrap_or(until) {
                continue;
            }
            let within = ANSWERS.min(until.saturating_duration_since(now) / 2);
            if !self.answers(within).await {
                *lock(&self.silent) = Instant::now().checked_add(SILENT);
                return Err(Failed::Away(io::ErrorKind::TimedOut.into()));
            }
            heard.set(Instant::now());
        }
    }

    /// Whether it answers anything.
    async fn answers(&self, within: Duration) -> bool {
        let asked = async {
            let mut connection = self.connect().await.ok()?;
            let request = Request::head("/").header(header::HOST, "dfdaemon");
            connection.send_request(request.body(Empty::new()).ok()?).await.ok()
        };
        matches!(tokio::time::timeout(within, asked).await, Ok(Some(_)))
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = UnixStream::connect(&self.socket).await?;
        let made = handshake(TokioIo::new(stream)).await;
        let (connection, driver) = made.map_err(io::Error::other)?;
        tokio::spawn(driver);
        Ok(connection)
    }

    async fn ask(&self, part: &Part, heard: &Cell<Instant>) -> Result<Bytes, Failed> {
        let idle = lock(&self.idle).pop();
        if let Some(connection) = idle.filter(SendRequest::is_ready) {
            // It may have been closed meanwhile: then a new one is tried.
            match self.ask_on(connection, part, heard).await {
                Err(Failed::Away(_)) => {}
                done => return done,
            }
        }
        let connection = self.connect().await.map_err(Failed::Away)?;
        self.ask_on(connection, part, heard).await
    }

    async fn ask_on(
        &self,
        mut connection: Connection,
        part: &Part,
        heard: &Cell<Instant>,
    ) -> Result<Bytes, Failed> {
        let request = request(part).map_err(Failed::Away)?;
        let response = connection.send_request(request).await;
        let response = response.map_err(|error| Failed::Away(io::Error::other(error)))?;
        heard.set(Instant::now());
        let (status, body) = (response.status(), response.into_body());
        if status != StatusCode::PARTIAL_CONTENT {
            let told = Limited::new(body, ERROR).collect().await;
            return Err(meaning(status, &told.map(|told| told.to_bytes()).unwrap_or_default()));
        }
        let bytes = whole(body, part.length, heard).await?;
        if connection.ready().await.is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        Ok(bytes)
    }
}

fn request(part: &Part) -> io::Result<Request<Empty<Bytes>>> {
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
    request.body(Empty::new()).map_err(io::Error::other)
}

/// A body of exactly `length` bytes. One that ends short is dfdaemon's way to say that something
/// went wrong since it began.
async fn whole(mut body: Incoming, length: u64, heard: &Cell<Instant>) -> Result<Bytes, Failed> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failed::Busy(format!("it ends short: {error}")))?;
        heard.set(Instant::now());
        bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        if bytes.len() as u64 > length {
            return Err(Failed::Odd(format!("more than {length} bytes")));
        }
    }
    if (bytes.len() as u64) < length {
        return Err(Failed::Busy("it ends short".to_owned()));
    }
    Ok(bytes.freeze())
}
