//! Arguments that several commands have.

use std::path::PathBuf;

use clap::Args;

use crate::store::{Access, Client};

/// How registries are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registries")]
pub struct StoreArgs {
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

/// How layers are read.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReadingArgs {
    /// Take absolute paths in layers from the root; they are refused otherwise
    #[arg(long)]
    absolute_paths: bool,
}

impl ReadingArgs {
    /// The options that it stands for.
    #[must_use]
    pub fn options(self) -> layer::Options {
        let mut options = layer::Options::default();
        if self.absolute_paths {
            options.absolute_paths = layer::limits::AbsolutePaths::FromRoot;
        }
        options
    }
}

impl StoreArgs {
    /// The client that reaches them so.
    ///
    /// # Errors
    /// If there is no runtime to be had.
    pub fn client(&self) -> anyhow::Result<Client> {
        let access = Access {
            plain_http: self.plain_http,
            ca: self.ca.clone(),
            docker_config: self.docker_config.clone(),
        };
        Ok(Client::new(access)?)
    }
}
