//! What becomes of prefetching, for who asks.

use std::sync::Arc;

use super::{Prefetch, Shared};
use crate::lock::lock;
use crate::prefetch::progress::PrefetchStats;

impl Prefetch {
    /// For who wants to know what becomes of it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }
}

/// Knows what becomes of prefetching for one mount; goes on knowing when that has ended.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// What became of it so far. Takes a while: it walks what is left of the plan.
    #[must_use]
    pub fn stats(&self) -> PrefetchStats {
        let plan = lock(&self.0.state).plan.clone();
        self.0.progress.stats(self.0.image.left(plan))
    }
}
