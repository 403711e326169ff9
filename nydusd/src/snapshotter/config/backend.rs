//! Who has the blobs.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::local::BlobsAt;
use image::registry::Repository;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::ConfigError;

/// Who has the blobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A repository of a registry.
    Registry(RegistryBackend),
    /// Files.
    Files(FilesBackend),
}

/// A repository, and how its registry is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryBackend {
    /// The repository.
    pub repository: Repository,
    /// Whether plain HTTP is spoken.
    pub plain_http: bool,
    /// Certificate authorities to trust beside the system's.
    pub ca: Vec<PathBuf>,
    /// What proves who we are.
    pub auth: Option<Auth>,
}

/// Blobs as files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FilesBackend {
    /// A folder of them.
    Folder(PathBuf),
    /// The only one.
    File(PathBuf),
}

impl From<FilesBackend> for BlobsAt {
    fn from(files: FilesBackend) -> Self {
        match files {
            FilesBackend::Folder(folder) => Self::Folder(folder),
            FilesBackend::File(file) => Self::File(file),
        }
    }
}

/// What proves to a registry who we are. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Base64 of a name, a colon and a password.
    Basic(Zeroizing<String>),
    /// A bearer token.
    Bearer(Zeroizing<String>),
}

impl Auth {
    /// Takes base64 of a name, a colon and a password.
    ///
    /// # Errors
    /// If it is something else.
    pub fn basic(base64: impl Into<Zeroizing<String>>) -> Result<Self, ConfigError> {
        let base64 = base64.into();
        let pair = STANDARD.decode(base64.as_bytes()).map(Zeroizing::new);
        let pair = pair.map_err(|_| ConfigError::Auth)?;
        let named = std::str::from_utf8(&pair).is_ok_and(|pair| pair.contains(':'));
        if named { Ok(Self::Basic(base64)) } else { Err(ConfigError::Auth) }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A backend's keys; each kind has its own of them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Keys {
    host: String,
    repo: String,
    scheme: String,
    #[serde(deserialize_with = "secret")]
    auth: Zeroizing<String>,
    #[serde(deserialize_with = "secret")]
    registry_token: Zeroizing<String>,
    skip_verify: bool,
    ca_cert_files: Vec<PathBuf>,
    proxy: Proxy,
    mirrors: Vec<serde::de::IgnoredAny>,
    blob_file: String,
    dir: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Proxy {
    url: String,
}

/// Said where certificates are not to be checked.
const SKIP_VERIFY: &str =
    "`skip_verify` is ignored: certificates are checked; trust an authority by `ca_cert_files`";
/// Said where blobs are to come by a proxy or mirror.
const PROXY: &str = "`proxy` and `mirrors` are ignored: chunks come by way of the node's dfdaemon, \
                     by its unix socket, else from the registry";

impl Keys {
    /// The backend of a kind, and what of it is ignored.
    pub(super) fn read(mut self, kind: &str) -> Result<(Backend, Vec<&'static str>), ConfigError> {
        let mut ignored = Vec::new();
        if self.skip_verify && self.scheme != "http" {
            ignored.push(SKIP_VERIFY);
        }
        if !self.proxy.url.is_empty() || !self.mirrors.is_empty() {
            ignored.push(PROXY);
        }
        let backend = match kind {
            "registry" => Backend::Registry(self.registry()?),
            "localfs" => Backend::Files(self.files()?),
            other => return Err(ConfigError::Backend(other.to_owned())),
        };
        Ok((backend, ignored))
    }

    fn registry(&mut self) -> Result<RegistryBackend, ConfigError> {
        for (value, name) in [(&self.host, "host"), (&self.repo, "repo")] {
            if value.is_empty() {
                return Err(ConfigError::Lacks("registry", name));
            }
        }
        // The snapshotter says where the Docker Hub is; images say what it is called.
        let hub = ["index.docker.io", "registry-1.docker.io"].contains(&&*self.host);
        let host = if hub { "docker.io" } else { &self.host };
        let repository = Repository::new(host, &self.repo);
        let named = || format!("{host}/{}", self.repo);
        let repository = repository.map_err(|error| ConfigError::Repository(named(), error))?;
        let (auth, token) =
            (std::mem::take(&mut self.auth), std::mem::take(&mut self.registry_token));
        let auth = match (auth.is_empty(), token.is_empty()) {
            (true, true) => None,
            (false, _) => Some(Auth::basic(auth)?),
            (true, false) => Some(Auth::Bearer(token)),
        };
        let plain_http = self.scheme == "http";
        Ok(RegistryBackend { repository, plain_http, ca: self.ca_cert_files.clone(), auth })
    }

    fn files(&self) -> Result<FilesBackend, ConfigError> {
        match (self.blob_file.is_empty(), self.dir.is_empty()) {
            (false, _) => Ok(FilesBackend::File(PathBuf::from(&self.blob_file))),
            (true, false) => Ok(FilesBackend::Folder(PathBuf::from(&self.dir))),
            (true, true) => Err(ConfigError::Lacks("localfs", "dir")),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}
