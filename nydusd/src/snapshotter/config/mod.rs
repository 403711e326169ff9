//! The configuration file of a mount, as nydus-snapshotter writes it: which registry has the blobs,
//! where chunks are kept, what is fetched ahead.
//!
//! Three forms are told apart by themselves: JSON of version 2 (`"version": 2`), TOML of version 2,
//! JSON of version 1 (all else). What a form says beyond this is left alone; what it asks for and is
//! not done is listed in [`Config::ignored`], to be logged.
//!
//! - [`backend`]: who has the blobs;
//! - [`v1`], [`v2`]: the forms.

pub mod backend;
pub mod v1;
pub mod v2;

use std::path::PathBuf;

use serde::de::Error as _;

use crate::fuse::files::Counting;
use crate::prefetch::{PrefetchOrder, What};

pub use backend::{Auth, Backend, RegistryBackend};

/// So long a configuration may be, in bytes.
pub const LONGEST: usize = 1 << 20;

/// What a configuration says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Who has the blobs.
    pub backend: Backend,
    /// The folder in which chunks are kept, if it says one.
    pub cache: Option<PathBuf>,
    /// What is fetched before it is asked for.
    pub prefetch: Prefetch,
    /// What is counted of the image's files.
    pub counting: Counting,
    /// What it asks for and does not get, and why: lines for the log.
    pub ignored: Vec<&'static str>,
}

/// What is fetched before it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prefetch {
    /// Whether anything is.
    pub enable: bool,
    /// Whether that is all of the image, in the end.
    pub all: bool,
    /// Bytes a second; `None` for as fast as it goes.
    pub bandwidth: Option<u64>,
}

impl Prefetch {
    /// The same, as a mount is told it.
    #[must_use]
    pub fn order(&self) -> PrefetchOrder {
        let what = match (self.enable, self.all) {
            (false, _) => What::None,
            (true, false) => What::Listed,
            (true, true) => What::All,
        };
        PrefetchOrder { what, rate: self.bandwidth.unwrap_or(0), ..PrefetchOrder::default() }
    }
}

/// Why a text is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody writes such a long one.
    #[error("the configuration is longer than {LONGEST} bytes")]
    TooLong,
    /// It is JSON, and not of this shape.
    #[error("the configuration is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// It is no TOML of this shape. (The parser's whole words would quote a line of the file.)
    #[error("the configuration is neither JSON nor TOML of version 2: {0}")]
    Toml(String),
    /// Its blobs lie where this program does not go.
    #[error("the backend {0:?} is not supported: blobs are in a `registry`, or files (`localfs`)")]
    Backend(String),
    /// It names no place for the blobs.
    #[error("the backend `{0}` lacks `{1}`")]
    Lacks(&'static str, &'static str),
    /// The registry's name or the repository's is none.
    #[error("`{0}` is no repository of a registry: {1}")]
    Repository(String, image::registry::NameError),
    /// The credentials are not base64 of a name, a colon and a password.
    #[error("`auth` is not base64 of a name, a colon and a password")]
    Auth,
}

/// The said line for [`Config::ignored`] where somebody asks that chunks be not checked.
pub const VALIDATE: &str =
    "`validate: false` changes nothing: every chunk is checked before its bytes reach a reader";

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If it is none, or asks for what there is not.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > LONGEST {
            return Err(ConfigError::TooLong);
        }
        if !text.trim_start().starts_with('{') {
            let form = toml::from_str::<v2::Form>(text);
            return form.map_err(|error| ConfigError::Toml(error.message().to_owned()))?.read();
        }
        let value: serde_json::Value = serde_json::from_str(text)?;
        if value.get("version").is_some_and(|version| version == 2) {
            return serde_json::from_value::<v2::Form>(value)?.read();
        }
        if value.get("device").is_none() {
            let said = "it has neither `device` nor `\"version\": 2`";
            return Err(serde_json::Error::custom(said).into());
        }
        serde_json::from_value::<v1::Form>(value)?.read()
    }

    /// Adds to what is ignored, if `really`.
    fn ignore(&mut self, really: bool, line: &'static str) {
        if really {
            self.ignored.push(line);
        }
    }
}

#[cfg(test)]
mod tests;
