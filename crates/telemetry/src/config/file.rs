//! The configuration file: which one, its text, and the line that an error is about.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Table;

use super::error::ConfigError;

/// Where a binary's file is when none is named.
const FOLDER: &str = "/etc/meganeura";

/// A file that was found, with its text.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The file that was named, which must exist; else the usual one, which need not.
    pub(super) fn find(binary: &str, named: Option<&Path>) -> Result<Option<Self>, ConfigError> {
        let usual = || Path::new(FOLDER).join(binary).with_extension("toml");
        let path = named.map_or_else(usual, Path::to_owned);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Self { path, text })),
            Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    /// The file's keys and values.
    pub(super) fn table(&self) -> Result<Table, ConfigError> {
        self.text.parse().map_err(|error| self.error(&error))
    }

    /// The error that this file causes in `T`, with its line if it can be had.
    pub(super) fn explain<T: DeserializeOwned>(&self, merged: &toml::de::Error) -> ConfigError {
        match toml::from_str::<T>(&self.text) {
            Err(with_line) => self.error(&with_line),
            Ok(_) => self.error(merged),
        }
    }

    fn error(&self, error: &toml::de::Error) -> ConfigError {
        let line_at = |at: usize| 1 + self.text.bytes().take(at).filter(|b| *b == b'\n').count();
        ConfigError::File {
            path: self.path.clone(),
            line: error.span().map(|span| line_at(span.start)),
            reason: error.message().to_owned(),
        }
    }
}
