//! The store itself, while no daemon has it open.

use anyhow::Context;
use content::Verifier;
use peer::cache::{self, Collected, Done, Listing, Step};
use peer::serve::unix_now;
use peer::{Engine, NoPlan};
use std::sync::Arc;
use transport::Identity;

use crate::app::open_store;
use crate::config::Config;

/// An engine over the store that nobody reads from or fetches into.
pub(super) struct Here {
    engine: Engine,
}

impl Here {
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        let dir = config.state_dir.join("store");
        anyhow::ensure!(
            dir.is_dir(),
            "no daemon answers on {}, and there is no store in {}; name the configuration with \
             --config",
            config.local.socket.display(),
            dir.display()
        );
        let store = open_store(config).with_context(|| {
            format!("no daemon answers on {}, so", config.local.socket.display())
        })?;
        let engine =
            Engine::new(store, verifier(config)?, Arc::new(NoPlan), peer::Metrics::default());
        Ok(Self { engine })
    }

    pub(super) fn list(&self) -> Listing {
        cache::list(&self.engine)
    }

    pub(super) fn remove(&self, tasks: &[String], force: bool) -> anyhow::Result<Done> {
        let done = cache::remove(&self.engine, tasks, force)?;
        self.flush()?;
        Ok(done)
    }

    pub(super) fn collect(&self, to: Option<u64>) -> anyhow::Result<Collected> {
        let collected = cache::collect(&self.engine, to, unix_now());
        self.flush()?;
        Ok(collected)
    }

    pub(super) fn pin(&self, tasks: &[String], pinned: bool) -> anyhow::Result<Done> {
        Ok(cache::pin(&self.engine, tasks, pinned)?)
    }

    pub(super) fn verify(
        &self,
        tasks: &[String],
        tell: impl FnMut(Step) -> bool,
    ) -> anyhow::Result<()> {
        cache::verify(&self.engine, tasks, tell)?;
        self.flush()
    }

    fn flush(&self) -> anyhow::Result<()> {
        self.engine.store().flush().context("the store's index")
    }
}

/// The keys whose statements are believed: those of the cluster that this node is a member of.
fn verifier(config: &Config) -> anyhow::Result<Verifier> {
    let path = config.state_dir.join("identity.json");
    let identity = Identity::load(&path)
        .with_context(|| format!("the node's identity in {} cannot be read", path.display()))?;
    Ok(identity.map_or_else(|| Verifier::new(Vec::new()), |identity| identity.verifier()))
}
