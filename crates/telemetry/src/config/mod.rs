//! Configuration: defaults < file < environment; the caller lays its flags on top.
//!
//! # File
//!
//! TOML. The file that the caller names, else the one that `MEGANEURA_CONFIG` names, else
//! `/etc/meganeura/<binary>.toml` if there is one. A file that was named must exist.
//!
//! # Environment
//!
//! `MEGANEURA_` and the path of the key in upper case, with **two** underscores wherever the file
//! has a dot: `MEGANEURA_STATE_DIR` is `state_dir`, `MEGANEURA_MIRROR__LISTEN` is `mirror.listen`.
//!
//! - Where the default is a string, the text is taken as it is. Elsewhere it is read as a TOML
//!   value (`20`, `true`, `["a", "b"]`), and what is no TOML value is a string.
//! - A list may also be given as `a,b`.
//! - A list of tables (`[[registries.registry]]`) is given whole, in TOML:
//!   `MEGANEURA_REGISTRIES__REGISTRY='[{ host = "docker.io" }]'`.
//! - Names that Kubernetes makes for a service called `meganeura-…` are not ours and are skipped:
//!   those without a double underscore that end in `_SERVICE_HOST` or `_PORT`, or contain
//!   `_SERVICE_PORT` or `_PORT_<number>_`.
//!
//! # Unknown keys
//!
//! A key that does not exist is an error that names it and what is accepted there. For that, each
//! struct of a configuration says `#[serde(default, deny_unknown_fields)]`.

mod env;
mod error;
mod file;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use error::ConfigError;

use env::Variable;

/// What a configuration needs to be: it has defaults, and goes to and from TOML.
pub trait Configuration: Default + Serialize + DeserializeOwned {}

impl<T: Default + Serialize + DeserializeOwned> Configuration for T {}

/// Reads the configuration of `binary` from its defaults, its file and the environment.
pub fn load<T: Configuration>(binary: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    resolve(find(binary, file)?.as_ref(), &env::of_process()?)
}

/// Reads the configuration of `binary` from its defaults and its file alone: for a program whose flags
/// know the environment themselves.
pub fn load_file<T: Configuration>(binary: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    resolve(find(binary, file)?.as_ref(), &[])
}

fn find(binary: &str, file: Option<&Path>) -> Result<Option<file::Source>, ConfigError> {
    let named = std::env::var_os(env::FILE).filter(|path| !path.is_empty());
    file::Source::find(binary, file.or_else(|| named.as_deref().map(Path::new)))
}

/// The configuration as TOML, for `--print-config`. A [`Secret`](crate::secret::Secret) shows as
/// `<set>`.
pub fn print<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string_pretty(config).map_err(ConfigError::Print)
}

/// Lays the sources over the defaults, and says which of them was wrong.
fn resolve<T: Configuration>(
    file: Option<&file::Source>,
    variables: &[Variable],
) -> Result<T, ConfigError> {
    let defaults = Table::try_from(T::default()).map_err(ConfigError::Print)?;
    let mut merged = defaults.clone();
    if let Some(file) = file {
        merge(&mut merged, file.table()?);
        // Parsed alone, so that an error has a line in the file.
        merged.clone().try_into::<T>().map_err(|error| file.explain::<T>(&error))?;
    }
    for variable in variables {
        merge(&mut merged, variable.table(&defaults));
        merged.clone().try_into::<T>().map_err(|error| variable.explain(&error))?;
    }
    merged.try_into().map_err(ConfigError::Defaults)
}

/// Puts `upper` over `lower`: tables key by key, everything else whole.
fn merge(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
