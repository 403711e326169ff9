//! How registries are reached.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// How registries are reached: the same words on every command line.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Registries")]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Speak plain HTTP with registries; with those on this machine it is done anyway
    #[arg(long, env = "MEGANEURA_PLAIN_HTTP")]
    pub plain_http: bool,
    /// A certificate authority to trust beside the system's, as a PEM file
    #[arg(long, value_name = "FILE", env = "MEGANEURA_CA")]
    pub ca: Vec<PathBuf>,
    /// Docker's configuration file with credentials [default: $`REGISTRY_AUTH_FILE`, config.json in
    /// $`DOCKER_CONFIG`, or ~/.docker/config.json]
    #[arg(long, value_name = "FILE", visible_alias = "authfile")]
    pub docker_config: Option<PathBuf>,
    /// Where that file is looked for if none is named, by whoever does the work for somebody else: it
    /// has another environment. None: as the environment says. An empty path: nowhere.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_config_default: Option<PathBuf>,
}

impl Access {
    /// Docker's configuration file, if one is named, or is where it is looked for.
    pub(super) fn docker_config(&self) -> Option<PathBuf> {
        if self.docker_config.is_some() {
            return self.docker_config.clone();
        }
        let file = self.docker_config_default.clone().or_else(docker_config_default)?;
        file.is_file().then_some(file)
    }
}

/// Where the environment of this process says that docker's configuration file is looked for; it need
/// not be there.
#[must_use]
pub fn docker_config_default() -> Option<PathBuf> {
    let from =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("REGISTRY_AUTH_FILE")
        .or_else(|| from("DOCKER_CONFIG").map(|folder| folder.join("config.json")))
        .or_else(|| from("HOME").map(|home| home.join(".docker/config.json")))
}
