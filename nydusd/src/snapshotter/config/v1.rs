//! Version 1, JSON: what nydus-snapshotter writes for each mount.

use std::path::PathBuf;

use serde::Deserialize;

use super::backend::Keys;
use super::{Config, ConfigError, Counting, Prefetch, VALIDATE};

/// The file.
#[derive(Deserialize)]
pub(super) struct Form {
    device: Device,
    #[serde(default)]
    fs_prefetch: FsPrefetch,
    #[serde(default)]
    digest_validate: Option<bool>,
    #[serde(flatten)]
    counting: Counted,
}

/// What is counted of files: in version 1 beside the device, in version 2 in `rafs`.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "they are the file's")]
pub(super) struct Counted {
    iostats_files: bool,
    access_pattern: bool,
    latest_read_files: bool,
}

impl Counted {
    pub(super) const fn read(self) -> Counting {
        Counting {
            files: self.iostats_files,
            pattern: self.access_pattern,
            latest: self.latest_read_files,
        }
    }
}

#[derive(Deserialize)]
struct Device {
    backend: TypedBackend,
    #[serde(default)]
    cache: Cache,
}

#[derive(Deserialize)]
struct TypedBackend {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: Keys,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cache {
    validate: Option<bool>,
    compressed: bool,
    config: CacheConfig,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CacheConfig {
    work_dir: String,
    enable_encryption: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FsPrefetch {
    enable: bool,
    prefetch_all: bool,
    bandwidth_rate: u64,
}

impl Form {
    pub(super) fn read(self) -> Result<Config, ConfigError> {
        let Device { backend, cache } = self.device;
        let (backend, ignored) = backend.config.read(&backend.kind)?;
        let FsPrefetch { enable, prefetch_all, bandwidth_rate } = self.fs_prefetch;
        let folder = Some(cache.config.work_dir).filter(|folder| !folder.is_empty());
        let mut config = Config {
            backend,
            cache: folder.map(PathBuf::from),
            prefetch: Prefetch {
                enable,
                all: prefetch_all,
                bandwidth: Some(bandwidth_rate).filter(|rate| *rate > 0),
            },
            counting: self.counting.read(),
            ignored,
        };
        let unchecked = [cache.validate, self.digest_validate].contains(&Some(false));
        config.ignore(unchecked, VALIDATE);
        config.ignore(cache.compressed, COMPRESSED);
        config.ignore(cache.config.enable_encryption, ENCRYPTION);
        Ok(config)
    }
}

/// Said of a cache that is to hold chunks as they come.
pub(super) const COMPRESSED: &str = "`compressed` is ignored: the cache holds plain bytes";
/// Said of a cache that is to be encrypted.
pub(super) const ENCRYPTION: &str = "`enable_encryption` is ignored: the cache is not encrypted";
