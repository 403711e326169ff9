//! A registry over HTTP, and a dfdaemon over a unix socket: both give what lies in an OCI layout, and
//! misbehave when they are told to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server does, and what it was asked.
#[derive(Debug)]
pub(crate) struct Behaviour {
    layout: PathBuf,
    /// Every answer is an error.
    pub(crate) down: AtomicBool,
    /// Connections are taken, and nothing at all is answered until this is over.
    pub(crate) silent: AtomicBool,
    /// A bit of every blob's part is wrong.
    pub(crate) lies: AtomicBool,
    /// No part of a blob is given until this is over.
    pub(crate) stalls: AtomicBool,
    /// As dfdaemon says it: the status and the kind of every answer, until this is over.
    says: Mutex<Option<&'static str>>,
    /// The value of `Authorization` without which nothing is given.
    pub(crate) wants: Mutex<Option<String>>,
    /// The digests, in hex, of blobs that it does not have.
    pub(crate) lacks: Mutex<Vec<String>>,
    /// How many parts of blobs were given.
    pub(crate) parts: AtomicU64,
    /// Their bytes.
    pub(crate) bytes: AtomicU64,
    asked: Mutex<Vec<String>>,
}

impl Behaviour {
    fn new(layout: &Path) -> Arc<Self> {
        Arc::new(Self {
            layout: layout.to_owned(),
            down: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            stalls: AtomicBool::new(false),
            says: Mutex::default(),
            wants: Mutex::default(),
            lacks: Mutex::default(),
            parts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            asked: Mutex::default(),
        })
    }

    /// From now on every answer is an error of dfdaemon's: a status and a kind, as `502 origin`.
    pub(crate) fn says(&self, says: Option<&'static str>) {
        *self.says.lock().unwrap() = says;
    }

    pub(crate) fn parts(&self) -> u64 {
        self.parts.load(Ordering::SeqCst)
    }

    /// How many requests were not only whether something is there.
    pub(crate) fn gets(&self) -> usize {
        self.asked().iter().filter(|line| !line.starts_with("HEAD ")).count()
    }

    /// The lines of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Serves the layout as the registry; its address.
pub(crate) fn registry(layout: &Path) -> (SocketAddr, Arc<Behaviour>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, behaviour) = (listener.local_addr().unwrap(), Behaviour::new(layout));
    let shared = Arc::clone(&behaviour);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Heads and bodies go out by themselves, and the second must not wait for the first.
            stream.set_nodelay(true).unwrap();
            let shared = Arc::clone(&shared);
            let half = stream.try_clone().unwrap();
            std::thread::spawn(move || converse(half, stream, &shared));
        }
    });
    (address, behaviour)
}

/// Serves the layout's blobs as dfdaemon, on the socket `path`.
pub(crate) fn dfdaemon(layout: &Path, path: &Path) -> Arc<Behaviour> {
    let listener = UnixListener::bind(path).unwrap();
    let behaviour = Behaviour::new(layout);
    let shared = Arc::clone(&behaviour);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            let half = stream.try_clone().unwrap();
            std::thread::spawn(move || converse(half, stream, &shared));
        }
    });
    behaviour
}

fn converse(reader: impl Read, mut writer: impl Write, behaviour: &Behaviour) {
    let mut lines = BufReader::new(reader).lines();
    while let Some(Ok(request)) = lines.next() {
        let headers: BTreeMap<String, String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())))
            .collect();
        let head = request.starts_with("HEAD ");
        behaviour.asked.lock().unwrap().push(request.clone());
        while behaviour.silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (status, more, body) = answer(&request, &headers, behaviour);
        let length = body.len();
        let begin = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n");
        let body = if head { &[][..] } else { &body };
        if writer.write_all(begin.as_bytes()).and_then(|()| writer.write_all(body)).is_err() {
            return;
        }
    }
}

/// Status, further headers, body.
fn answer(
    request: &str,
    headers: &BTreeMap<String, String>,
    behaviour: &Behaviour,
) -> (&'static str, String, Vec<u8>) {
    if behaviour.down.load(Ordering::SeqCst) {
        return ("503 Service Unavailable", String::new(), b"down".to_vec());
    }
    if let Some((status, kind)) = behaviour.says.lock().unwrap().and_then(|s| s.split_once(' ')) {
        let told = serde_json::json!({ "error": "as the test wants it", "kind": kind });
        return (status, String::new(), told.to_string().into_bytes());
    }
    let wanted = behaviour.wants.lock().unwrap().clone();
    if wanted.is_some_and(|wanted| headers.get("authorization") != Some(&wanted)) {
        let challenge = "WWW-Authenticate: Basic realm=\"test\"\r\n";
        return ("401 Unauthorized", challenge.to_owned(), Vec::new());
    }
    let path = request.split(' ').nth(1).unwrap();
    if let Some((_, rest)) = path.split_once("/manifests/") {
        return manifest(rest, behaviour);
    }
    let digest = path.split_once("/blobs/sha256:").or_else(|| path.split_once("digest=sha256%3A"));
    let Some((_, digest)) = digest else { return ("200 OK", String::new(), b"{}".to_vec()) };
    if behaviour.lacks.lock().unwrap().iter().any(|lacking| digest.starts_with(lacking)) {
        return ("404 Not Found", String::new(), Vec::new());
    }
    while behaviour.stalls.load(Ordering::SeqCst) && headers.contains_key("range") {
        std::thread::sleep(Duration::from_millis(10));
    }
    let Ok(blob) = fs::read(behaviour.layout.join("blobs/sha256").join(&digest[..64])) else {
        return ("404 Not Found", String::new(), Vec::new());
    };
    let range = headers.get("range").and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let to = to.parse::<usize>().map_or(blob.len(), |to| to + 1);
        Some((from.parse::<usize>().ok()?, to.min(blob.len())))
    });
    let Some((from, to)) = range else { return ("200 OK", String::new(), blob) };
    let mut part = blob[from..to].to_vec();
    if behaviour.lies.load(Ordering::SeqCst) {
        let middle = part.len() / 2;
        part[middle] ^= 1;
    }
    behaviour.parts.fetch_add(1, Ordering::SeqCst);
    behaviour.bytes.fetch_add(part.len() as u64, Ordering::SeqCst);
    let range = format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, blob.len());
    ("206 Partial Content", range, part)
}

fn manifest(reference: &str, behaviour: &Behaviour) -> (&'static str, String, Vec<u8>) {
    let digest = reference.strip_prefix("sha256:").map_or_else(
        || {
            let index = fs::read_to_string(behaviour.layout.join("index.json")).unwrap();
            index.split_once("sha256:").unwrap().1[..64].to_owned()
        },
        str::to_owned,
    );
    let bytes = fs::read(behaviour.layout.join("blobs/sha256").join(&digest)).unwrap();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let headers = format!("Content-Type: {kind}\r\nDocker-Content-Digest: sha256:{digest}\r\n");
    ("200 OK", headers, bytes)
}
