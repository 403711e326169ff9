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

impl Config {
    /// What is said, as options and their values, by the options' ids.
    ///
    /// # Errors
    /// If it cannot be written as TOML, which all of it can.
    pub fn options(&self) -> Result<Vec<(String, Vec<String>)>, toml::ser::Error> {
        let mut options = Vec::new();
        for (key, value) in Table::try_from(self)? {
            match value {
                Value::Table(section) => {
                    let named = |(name, value): (String, Value)| (format!("{key}_{name}"), value);
                    options.extend(section.into_iter().map(named));
                }
                value => options.push((key.replace("dfdaemon_socket", "dfdaemon"), value)),
            }
        }
        Ok(options.into_iter().map(|(id, value)| (id, words(value))).collect())
    }
}

/// A value as it is written on a command line.
fn words(value: Value) -> Vec<String> {
    match value {
        Value::String(word) => vec![word],
        Value::Array(list) => list.into_iter().flat_map(words).collect(),
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
        let of = |id: &str| options.iter().find(|(there, _)| there == id).unwrap().1.join(" ");
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
}
