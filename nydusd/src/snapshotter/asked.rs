//! What a request asks for: method, path, query and body become one of few questions.

use std::borrow::Cow;
use std::path::PathBuf;

use http::Method;
use serde::Deserialize;
use url::form_urlencoded;

use super::config::{Auth, LONGEST};
use super::refused::Refused;

/// So long a body may be, in bytes: a configuration as a JSON string, each of whose bytes may be
/// escaped.
pub const MOST: usize = LONGEST.saturating_mul(6) + (64 << 10);

/// What is answered, and be it to other methods.
const PATHS: [&str; 19] = [
    "/api/v1/config",
    "/api/v1/daemon",
    "/api/v1/daemon/backend",
    "/api/v1/daemon/events",
    "/api/v1/daemon/exit",
    "/api/v1/daemon/fuse/resend",
    "/api/v1/daemon/fuse/sendfd",
    "/api/v1/daemon/fuse/takeover",
    "/api/v1/daemon/start",
    "/api/v1/metrics",
    "/api/v1/metrics/backend",
    "/api/v1/metrics/blobcache",
    "/api/v1/metrics/files",
    "/api/v1/metrics/inflight",
    "/api/v1/metrics/pattern",
    "/api/v1/mount",
    "/api/v2/blobs",
    "/api/v2/daemon",
    "/metrics",
];

/// A question.
#[derive(PartialEq, Eq, Debug)]
pub enum Asked {
    /// Who are you, and in which state?
    Daemon,
    /// The same, without the mounts.
    DaemonV2,
    /// Log so much.
    Level(String),
    /// What happened?
    Events,
    /// What are this mount's metadata?
    Backend(String),
    /// Begin.
    Start,
    /// End.
    Exit,
    /// Hand your descriptors over.
    SendFd,
    /// Take another one's.
    TakeOver,
    /// Have the kernel ask again what another one was asked.
    Resend,
    /// Mount.
    Mount(MountAsked),
    /// Mount something else in its place.
    Remount(MountAsked),
    /// Unmount.
    Umount(String),
    /// Numbers of a mount.
    Metrics(Numbers, Option<String>),
    /// Reads that are being answered.
    Inflight,
    /// What of the configuration can be changed?
    Config(Option<String>),
    /// Change it.
    Renew(Option<String>, Renewal),
}

/// Which numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// Of reads.
    Reads,
    /// Of the chunk cache.
    Cache,
    /// Of the registry.
    Registry,
    /// Of each file.
    Files,
    /// Of those that were read since that was asked last, which they are.
    Latest,
    /// Of the order of reads.
    Pattern,
}

/// What is to be mounted.
#[derive(PartialEq, Eq, Debug)]
pub struct MountAsked {
    /// Its name: a slash and what the snapshotter calls the snapshot.
    pub id: String,
    /// The bootstrap.
    pub bootstrap: PathBuf,
    /// The configuration's text.
    pub config: String,
    /// Paths in the image that are fetched first.
    pub prefetch_files: Vec<String>,
}

/// What changes under a running mount.
#[derive(PartialEq, Eq, Debug)]
pub struct Renewal {
    /// New credentials.
    pub auth: Option<Auth>,
    /// What is not done, to be logged.
    pub ignored: Vec<String>,
}

#[derive(Deserialize)]
struct MountBody {
    #[serde(default)]
    fs_type: String,
    source: PathBuf,
    config: String,
    #[serde(default)]
    prefetch_files: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct LevelBody {
    log_level: String,
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// If nobody answers such.
    pub fn read(
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Refused> {
        let query = Query(query.unwrap_or_default());
        Ok(match (method.as_str(), path) {
            ("GET", "/api/v1/daemon") => Self::Daemon,
            ("GET", "/api/v2/daemon") => Self::DaemonV2,
            ("PUT", "/api/v1/daemon" | "/api/v2/daemon") => {
                Self::Level(json::<LevelBody>(body)?.log_level)
            }
            ("GET", "/api/v1/daemon/events") => Self::Events,
            ("GET", "/api/v1/daemon/backend") => Self::Backend(query.needed("mountpoint")?),
            ("PUT", "/api/v1/daemon/start") => Self::Start,
            ("PUT", "/api/v1/daemon/exit") => Self::Exit,
            ("PUT", "/api/v1/daemon/fuse/sendfd") => Self::SendFd,
            ("PUT", "/api/v1/daemon/fuse/takeover") => Self::TakeOver,
            ("PUT", "/api/v1/daemon/fuse/resend") => Self::Resend,
            ("POST", "/api/v1/mount") => Self::Mount(mount(&query, body)?),
            ("PUT", "/api/v1/mount") => Self::Remount(mount(&query, body)?),
            ("DELETE", "/api/v1/mount") => Self::Umount(query.needed("mountpoint")?),
            ("GET", "/api/v1/metrics/inflight") => Self::Inflight,
            ("GET", "/api/v1/config") => Self::Config(query.get("id")),
            ("PUT", "/api/v1/config") => Self::Renew(query.get("id"), renewal(body)?),
            ("GET", path) if path.starts_with("/api/v1/metrics") => {
                Self::Metrics(numbers(path, &query)?, query.get("id"))
            }
            ("PUT" | "DELETE" | "GET", "/api/v2/blobs") => {
                return Err(Refused::Unsupported("images are not served by fscache here"));
            }
            // As nydusd tells who asks what an endpoint does not answer.
            (method, path) if PATHS.contains(&path) => {
                return Err(Refused::Bad(format!("there is no {method} {path}")));
            }
            (method, path) => {
                let path: String = path.chars().take(200).collect();
                return Err(Refused::Unknown(format!("there is no {method} {path}")));
            }
        })
    }
}

struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let found = form_urlencoded::parse(self.0.as_bytes()).find(|(key, _)| key == name);
        found.map(|(_, value)| value).map(Cow::into_owned)
    }

    fn needed(&self, name: &str) -> Result<String, Refused> {
        self.get(name).ok_or_else(|| Refused::Bad(format!("the query lacks `{name}`")))
    }
}

fn json<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refused> {
    // Where, and not what: there may be credentials in it.
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refused::Bad(format!("the body is not understood at line {line}, column {column}"))
    })
}

fn mount(query: &Query<'_>, body: &[u8]) -> Result<MountAsked, Refused> {
    let id = query.needed("mountpoint")?;
    let MountBody { fs_type, source, config, prefetch_files } = json(body)?;
    if !["", "rafs"].contains(&&*fs_type) {
        return Err(Refused::Unsupported("only images are mounted: `fs_type` must be `rafs`"));
    }
    let prefetch_files = prefetch_files.unwrap_or_default();
    Ok(MountAsked { id, bootstrap: source, config, prefetch_files })
}

fn numbers(path: &str, query: &Query<'_>) -> Result<Numbers, Refused> {
    match path.strip_prefix("/api/v1/metrics").unwrap_or_default() {
        "" => Ok(Numbers::Reads),
        "/blobcache" => Ok(Numbers::Cache),
        "/backend" => Ok(Numbers::Registry),
        "/files" if query.get("latest").as_deref() == Some("true") => Ok(Numbers::Latest),
        "/files" => Ok(Numbers::Files),
        "/pattern" => Ok(Numbers::Pattern),
        _ => Err(Refused::Unknown("there are no such metrics".to_owned())),
    }
}

fn renewal(body: &[u8]) -> Result<Renewal, Refused> {
    let mut said: serde_json::Map<String, serde_json::Value> = json(body)?;
    let auth = match said.remove("registry_auth") {
        Some(serde_json::Value::String(auth)) => {
            Some(Auth::basic(auth).map_err(|error| Refused::Bad(error.to_string()))?)
        }
        Some(_) => return Err(Refused::Bad("`registry_auth` is no string".to_owned())),
        None => None,
    };
    Ok(Renewal { auth, ignored: said.into_iter().map(|(key, _)| key).collect() })
}

#[cfg(test)]
mod tests;
