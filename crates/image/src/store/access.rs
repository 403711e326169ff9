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
}
