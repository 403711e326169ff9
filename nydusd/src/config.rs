//! The configuration file: what options are where neither the command line nor the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use telemetry::logs::Format;
use telemetry::units::ByteSize;
use toml::{Table, Value};

use crate::driver::Driver;
use crate::prefetch::What;

/// What `/etc/meganeura/nydusd.toml` says, or the file that is named in its place. Each key stands for
/// an option, and has its meaning and its default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `--cache-dir`.
    pub cache_dir: Option<PathBuf>,
    /// `--cache-size`.
    pub cache_size: Option<ByteSize>,
    /// `--dfdaemon`.
    pub dfdaemon_socket: Option<PathBuf>,
    /// `--read-limit`, in seconds.
    pub read_limit: Option<u64>,
    /// `--metrics`.
    pub metrics: Option<SocketAddr>,
    /// `--driver`.
    pub driver: Option<Driver>,
    /// `--prefetch`.
    pub prefetch: Option<What>,
    /// `--prefetch-rate`.
    pub prefetch_rate: Option<ByteSize>,
    /// `--prefetch-threads`.
    pub prefetch_threads: Option<u8>,
    /// `--plain-http`.
    pub plain_http: Option<bool>,
    /// `--ca`.
    pub ca: Option<Vec<PathBuf>>,
    /// `--docker-config`.
    pub docker_config: Option<PathBuf>,
    /// `--log-…`.
    pub log: Log,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `--log-level`.
    pub level: Option<String>,
    /// `--log-format`.
    pub format: Option<Format>,
}

/// The options that may stand in the file, by their ids, each with its section, if it has one, and its
/// key there.
pub const OPTIONS: [(&str, (Option<&str>, &str)); 14] = [
    ("cache_dir", (None, "cache_dir")),
    ("cache_size", (None, "cache_size")),
    ("dfdaemon", (None, "dfdaemon_socket")),
    ("read_limit", (None, "read_limit")),
    ("metrics", (None, "metrics")),
    ("driver", (None, "driver")),
    ("prefetch", (None, "prefetch")),
    ("prefetch_rate", (None, "prefetch_rate")),
    ("prefetch_threads", (None, "prefetch_threads")),
    ("plain_http", (None, "plain_http")),
    ("ca", (None, "ca")),
    ("docker_config", (None, "docker_config")),
    ("log_level", (Some("log"), "level")),
    ("log_format", (Some("log"), "format")),
];

impl Config {
    /// What is said, as options and their values, by the options' ids.
    ///
    /// # Errors
    /// If it cannot be written as TOML, which all of it can.
    pub fn options(&self) -> Result<Vec<(&'static str, Vec<String>)>, toml::ser::Error> {
        let table = Table::try_from(self)?;
        let said = |section: Option<&str>, key: &str| match section {
            None => table.get(key),
            Some(section) => table.get(section)?.get(key),
        };
        let options = OPTIONS.into_iter();
        Ok(options.filter_map(|(id, (of, key))| Some((id, words(said(of, key)?)))).collect())
    }
}

/// A value as it is written on a command line.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(word) => vec![word.clone()],
        Value::Array(list) => list.iter().flat_map(words).collect(),
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_options_by_their_ids() {
        let text = r#"
            cache_size = "10GiB"
            dfdaemon_socket = "/run/d.sock"
            read_limit = 5
            driver = "fuse"
            plain_http = true
            ca = ["/a.pem", "/b.pem"]
            [log]
            format = "json"
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let options = config.options().unwrap();
        let of = |id: &str| options.iter().find(|(there, _)| *there == id).unwrap().1.join(" ");
        assert_eq!(
            (of("cache_size"), of("dfdaemon")),
            ("10GiB".to_owned(), "/run/d.sock".to_owned())
        );
        assert_eq!((of("read_limit"), of("driver")), ("5".to_owned(), "fuse".to_owned()));
        assert_eq!((of("plain_http"), of("ca")), ("true".to_owned(), "/a.pem /b.pem".to_owned()));
        assert_eq!(of("log_format"), "json");
        assert_eq!(options.len(), 7);
        assert!(toml::from_str::<Config>("cache = 1").is_err());
    }

    #[test]
    fn no_key_is_forgotten() {
        let refused = toml::from_str::<Config>("no_such_key = 1").unwrap_err().to_string();
        let section = toml::from_str::<Config>("[log]\nno_such_key = 1").unwrap_err().to_string();
        let known = refused.matches('`').count() / 2 - 1 + section.matches('`').count() / 2 - 1;
        // The section itself is no option.
        assert_eq!(known - 1, OPTIONS.len(), "{refused} {section}");
        for (_, (of, key)) in OPTIONS {
            let told = if of.is_some() { &section } else { &refused };
            assert!(told.contains(&format!("`{key}`")), "{key}");
        }
    }
}
