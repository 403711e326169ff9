//! A supernode and nodes, as processes, in a scratch folder.

mod node;
mod pull;
mod shown;
mod supernode;

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

pub use self::node::Node;
pub use self::supernode::Supernode;
use crate::registry::Builder;

/// A scratch folder in which everything of a test lives.
#[derive(Debug)]
pub struct Bed {
    dir: TempDir,
    log_level: &'static str,
}

/// A registry, as a configuration names it.
#[derive(Clone, Debug)]
pub struct Site(String);

impl Site {
    /// The registry `host`, at a plain-HTTP address.
    #[must_use]
    pub fn http(host: &str, address: SocketAddr) -> Self {
        Self(format!(
            "[[registries.registry]]\nhost = \"{host}\"\nendpoint = \"http://{address}\"\nhttp = true\n"
        ))
    }

    /// This registry and another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(format!("{}{}", self.0, other.0))
    }
}

impl Bed {
    /// A fresh folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("meganeura-").tempdir()?;
        Ok(Self { dir, log_level: "debug,sled=warn" })
    }

    /// Processes log as they do in production, for benches.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.log_level = "info";
        self
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A registry to be started.
    #[must_use]
    pub fn registry(&self) -> Builder {
        Builder::new(self.path())
    }
}
