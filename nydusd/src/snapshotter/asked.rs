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
            ("POST", "/api/v1/mount") => Self::Mount(mount(&query, body)?),
            ("PUT", "/api/v1/mount") => Self::Remount(mount(&query, body)?),
            ("DELETE", "/api/v1/mount") => Self::Umount(query.needed("mountpoint")?),
            ("GET", "/api/v1/metrics/inflight") => Self::Inflight,
            ("GET", "/api/v1/config") => Self::Config(query.get("id")),
            ("PUT", "/api/v1/config") => Self::Renew(query.get("id"), renewal(body)?),
            ("GET", path) if path.starts_with("/api/v1/metrics") => {
                Self::Metrics(numbers(path)?, query.get("id"))
            }
            ("PUT" | "DELETE" | "GET", "/api/v2/blobs") => {
                return Err(Refused::Unsupported("images are not served by fscache here"));
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
    let MountBody { fs_type, source, config } = json(body)?;
    if !["", "rafs"].contains(&&*fs_type) {
        return Err(Refused::Unsupported("only images are mounted: `fs_type` must be `rafs`"));
    }
    Ok(MountAsked { id, bootstrap: source, config })
}

fn numbers(path: &str) -> Result<Numbers, Refused> {
    match path.strip_prefix("/api/v1/metrics").unwrap_or_default() {
        "" => Ok(Numbers::Reads),
        "/blobcache" => Ok(Numbers::Cache),
        "/backend" => Ok(Numbers::Registry),
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
mod tests {
    use super::*;

    fn read(method: &str, uri: &str, body: &str) -> Result<Asked, Refused> {
        let (path, query) = uri.split_once('?').map_or((uri, None), |(p, q)| (p, Some(q)));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Asked::read(&method, path, query, body.as_bytes())
    }

    fn refused(method: &str, uri: &str, body: &str) -> u16 {
        read(method, uri, body).unwrap_err().status().as_u16()
    }

    #[test]
    fn what_the_snapshotter_asks() {
        let id = || Some("/7".to_owned());
        let mount = r#"{"fs_type":"rafs","source":"/s/7/fs/image/image.boot","config":"{}"}"#;
        let asked = read("POST", "/api/v1/mount?mountpoint=%2F7", mount).unwrap();
        let bootstrap = "/s/7/fs/image/image.boot".into();
        let expected = MountAsked { id: "/7".to_owned(), bootstrap, config: "{}".to_owned() };
        assert_eq!(asked, Asked::Mount(expected));
        for (method, uri, body, expected) in [
            ("GET", "/api/v1/daemon", "", Asked::Daemon),
            ("PUT", "/api/v1/daemon", r#"{"log_level":"debug"}"#, Asked::Level("debug".to_owned())),
            ("PUT", "/api/v1/daemon/start", "", Asked::Start),
            ("PUT", "/api/v1/daemon/exit", "", Asked::Exit),
            ("PUT", "/api/v1/daemon/fuse/sendfd", "", Asked::SendFd),
            ("PUT", "/api/v1/daemon/fuse/takeover", "", Asked::TakeOver),
            ("DELETE", "/api/v1/mount?mountpoint=%2F7", "", Asked::Umount("/7".to_owned())),
            ("GET", "/api/v1/metrics", "", Asked::Metrics(Numbers::Reads, None)),
            ("GET", "/api/v1/metrics?id=%2F7", "", Asked::Metrics(Numbers::Reads, id())),
            ("GET", "/api/v1/metrics/blobcache?id=/7", "", Asked::Metrics(Numbers::Cache, id())),
            ("GET", "/api/v1/metrics/inflight", "", Asked::Inflight),
        ] {
            assert_eq!(read(method, uri, body).unwrap(), expected, "{method} {uri}");
        }
    }

    #[test]
    fn new_credentials_are_taken_and_the_rest_is_told() {
        let body = r#"{"registry_auth":"dTpw","proxy_url":"http://p"}"#;
        let Ok(Asked::Renew(None, renewal)) = read("PUT", "/api/v1/config", body) else {
            panic!("not understood");
        };
        assert_eq!(renewal.auth, Some(Auth::basic("dTpw".to_owned()).unwrap()));
        assert_eq!(renewal.ignored, ["proxy_url"]);
        assert_eq!(refused("PUT", "/api/v1/config", r#"{"registry_auth":7}"#), 400);
        assert_eq!(refused("PUT", "/api/v1/config", r#"{"registry_auth":"?"}"#), 400);
    }

    #[test]
    fn any_request_is_read_or_refused() {
        const PATHS: [&str; 6] = [
            "/api/v1/mount",
            "/api/v1/config",
            "/api/v1/daemon",
            "/api/v1/metrics",
            "/api/v1/daemon/backend",
            "/api/v2/blobs",
        ];
        bolero::check!().with_type::<(u8, u8, String, Vec<u8>)>().for_each(
            |(method, path, query, body)| {
                let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE];
                let method = &methods[usize::from(*method) % methods.len()];
                let path = PATHS[usize::from(*path) % PATHS.len()];
                if let Err(refused) = Asked::read(method, path, Some(query), body) {
                    let status = refused.status().as_u16();
                    assert!([400, 404, 501].contains(&status), "{status}");
                    assert!(refused.told()["message"].is_string());
                }
            },
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(refused("GET", "/", ""), 404);
        assert_eq!(refused("GET", "/api/v1/metrics/other", ""), 404);
        assert_eq!(refused("PATCH", "/api/v1/daemon", ""), 404);
        assert_eq!(refused("GET", "/api/v1/daemon/backend", ""), 400);
        assert_eq!(refused("DELETE", "/api/v1/mount", ""), 400);
        assert_eq!(refused("POST", "/api/v1/mount", "{}"), 400, "without a mountpoint");
        assert_eq!(refused("POST", "/api/v1/mount?mountpoint=/x", "{}"), 400);
        assert_eq!(refused("POST", "/api/v1/mount?mountpoint=/x", "\u{0}"), 400);
        let passthrough = r#"{"fs_type":"passthrough_fs","source":"/","config":""}"#;
        assert_eq!(refused("POST", "/api/v1/mount?mountpoint=/x", passthrough), 501);
        assert_eq!(refused("PUT", "/api/v2/blobs", "{}"), 501);
        let message = read("PUT", "/api/v1/config", r#"{"registry_auth":"s3cret"#).unwrap_err();
        assert!(!message.to_string().contains("s3cret"));
    }
}
