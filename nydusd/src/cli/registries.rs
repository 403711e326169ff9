//! How registries are reached.

use std::path::PathBuf;

use clap::Args;

/// How registries are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registries")]
pub(super) struct RegistryArgs {
    /// Speak plain HTTP with registries; with those on this machine it is done anyway
    #[arg(long, env = "MEGANEURA_PLAIN_HTTP")]
    pub(super) plain_http: bool,
    /// A certificate authority to trust beside the system's, as a PEM file
    #[arg(long, value_name = "FILE", env = "MEGANEURA_CA")]
    pub(super) ca: Vec<PathBuf>,
    /// Docker's configuration file with credentials [default: $`REGISTRY_AUTH_FILE`, config.json in
    /// $`DOCKER_CONFIG`, or ~/.docker/config.json]
    #[arg(long, value_name = "FILE", visible_alias = "authfile")]
    pub(super) docker_config: Option<PathBuf>,
}
