//! Version 2, JSON or TOML: each kind of backend and of cache has a section of its name.

use std::path::PathBuf;

use serde::Deserialize;

use super::backend::Keys;
use super::v1::{COMPRESSED, Counted, ENCRYPTION};
use super::{Config, ConfigError, Prefetch, VALIDATE};

/// The file.
#[derive(Deserialize)]
pub(super) struct Form {
    /// 2; without it a TOML file is something else.
    #[serde(rename = "version")]
    _version: Two,
    backend: TypedBackend,
    #[serde(default)]
    cache: Cache,
    #[serde(default)]
    rafs: Rafs,
}

/// The number 2.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Two;

impl TryFrom<u64> for Two {
    type Error = &'static str;

    fn try_from(version: u64) -> Result<Self, Self::Error> {
        if version == 2 { Ok(Self) } else { Err("`version` must be 2") }
    }
}

#[derive(Deserialize)]
struct TypedBackend {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    registry: Option<Keys>,
    #[serde(default)]
    localfs: Option<Keys>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cache {
    validate: Option<bool>,
    compressed: bool,
    filecache: FileCache,
    prefetch: BlobPrefetch,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FileCache {
    work_dir: String,
    enable_encryption: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BlobPrefetch {
    enable: bool,
    prefetch_all: bool,
    bandwidth_limit: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rafs {
    validate: Option<bool>,
    prefetch: BlobPrefetch,
    #[serde(flatten)]
    counting: Counted,
}

impl Form {
    pub(super) fn read(self) -> Result<Config, ConfigError> {
        let TypedBackend { kind, registry, localfs } = self.backend;
        let keys = if kind == "localfs" { localfs } else { registry };
        let (backend, ignored) = keys.unwrap_or_default().read(&kind)?;
        let folder = Some(self.cache.filecache.work_dir).filter(|folder| !folder.is_empty());
        // Of both, what the file system asks for goes first: it knows the image's list.
        let (files, blobs) = (self.rafs.prefetch, self.cache.prefetch);
        let rate = if files.enable { files.bandwidth_limit } else { blobs.bandwidth_limit };
        let mut config = Config {
            backend,
            cache: folder.map(PathBuf::from),
            prefetch: Prefetch {
                enable: files.enable || blobs.enable,
                all: files.enable && files.prefetch_all || blobs.enable && blobs.prefetch_all,
                bandwidth: Some(rate).filter(|rate| *rate > 0),
            },
            counting: self.rafs.counting.read(),
            ignored,
        };
        let unchecked = [self.cache.validate, self.rafs.validate].contains(&Some(false));
        config.ignore(unchecked, VALIDATE);
        config.ignore(self.cache.compressed, COMPRESSED);
        config.ignore(self.cache.filecache.enable_encryption, ENCRYPTION);
        Ok(config)
    }
}
