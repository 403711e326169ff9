//! Whose bytes are whose: the two facts without which nobody gets a blob.
//!
//! Blobs are shared across registries and repositories by digest, so holding one says nothing of
//! who may have it. A caller may have blob D of repository R if
//!
//! 1. the registry granted this caller something in R, a short time ago, and
//! 2. R holds D: the registry said so, to anybody.
//!
//! Both are asked of the registry, once, and believed for a short time. A manifest that somebody
//! pushed elsewhere and that names a foreign digest proves neither.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use content::Digest;
use registry::{Caller, ManifestAnswer, ManifestRequest, Reference, Registries, Repository};

use crate::failure::Failure;
use crate::lock::lock;

/// A caller, as far as facts about it are concerned: a fingerprint that says nothing of the
/// credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CallerId([u8; 32]);

impl CallerId {
    /// The id of `caller`.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Client(Some(credential)) => Self(credential.fingerprint()),
            Caller::Client(None) => Self([0; 32]),
            Caller::Own => Self([1; 32]),
        }
    }
}

/// The facts, and the registries that they come from.
#[derive(Debug)]
pub struct Access {
    registries: Registries,
    readable: Facts<(Repository, CallerId)>,
    holds: Facts<(Repository, Digest)>,
    asking: Mutex<HashMap<(Repository, Digest, CallerId), Asking>>,
}

type Asking = std::sync::Arc<tokio::sync::Mutex<()>>;

impl Access {
    /// Facts of `registries`; a granted access is believed for `readable_for`, what a repository
    /// holds for `holds_for`.
    #[must_use]
    pub fn new(registries: Registries, readable_for: Duration, holds_for: Duration) -> Self {
        Self {
            registries,
            readable: Facts::new(readable_for),
            holds: Facts::new(holds_for),
            asking: Mutex::default(),
        }
    }

    /// The registries that are asked.
    #[must_use]
    pub const fn registries(&self) -> &Registries {
        &self.registries
    }

    /// For how long a granted access is believed.
    #[must_use]
    pub const fn readable_for(&self) -> Duration {
        self.readable.life
    }

    /// Whether both facts are known now.
    #[must_use]
    pub fn known(&self, repository: &Repository, digest: &Digest, caller: &Caller) -> bool {
        self.readable.holds(&(repository.clone(), CallerId::of(caller)))
            && self.holds.holds(&(repository.clone(), *digest))
    }

    /// For how much longer both facts are believed; nothing if one is not known. Whoever passes
    /// them on passes this on with them, so that they do not live anew elsewhere.
    #[must_use]
    pub fn fresh_for(&self, repository: &Repository, digest: &Digest, caller: &Caller) -> Duration {
        let readable = self.readable.left(&(repository.clone(), CallerId::of(caller)));
        readable.min(self.holds.left(&(repository.clone(), *digest)))
    }

    /// The registry gave `digest` of `repository` to `caller`: both facts at once.
    pub fn granted(&self, repository: &Repository, digest: &Digest, caller: &Caller) {
        self.readable.learn((repository.clone(), CallerId::of(caller)));
        self.holds.learn((repository.clone(), *digest));
    }

    /// The registry does not serve `caller` in `repository` any more: it is asked again.
    pub fn denied(&self, repository: &Repository, caller: &Caller) {
        self.readable.forget(&(repository.clone(), CallerId::of(caller)));
    }

    /// Makes sure that `caller` may have blob `digest` of `repository`, by one HEAD in the
    /// caller's name where a fact is missing.
    ///
    /// # Errors
    /// What the registry answers the caller.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<(), Failure> {
        self.unless_known(repository, digest, caller, async {
            self.registries.blob_head(repository, digest, caller).await?;
            self.granted(repository, digest, caller);
            Ok(())
        })
        .await
        .map(|_| ())
    }

    /// [`Self::blob`] for a manifest. Says what the registry answered, if it was asked.
    ///
    /// # Errors
    /// What the registry answers the caller.
    pub async fn manifest_of(
        &self,
        repository: &Repository,
        digest: &Digest,
        request: &ManifestRequest,
        caller: &Caller,
    ) -> Result<Option<ManifestAnswer>, Failure> {
        let reference = Reference::Digest(*digest);
        let asking = self.manifest(repository, &reference, request, caller);
        self.unless_known(repository, digest, caller, asking).await
    }

    /// Asks where a fact is missing; of many who want the same, one asks and all know.
    async fn unless_known<T>(
        &self,
        repository: &Repository,
        digest: &Digest,
        caller: &Caller,
        ask: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        let key = (repository.clone(), *digest, CallerId::of(caller));
        let asking = Asking::clone(lock(&self.asking).entry(key.clone()).or_default());
        let turn = asking.lock().await;
        let known = self.known(repository, digest, caller);
        let asked = if known { Ok(None) } else { ask.await.map(Some) };
        drop(turn);
        lock(&self.asking).remove(&key);
        asked
    }

    /// The length of blob `digest` of `repository`, in bytes, asked by a HEAD in the caller's name.
    /// An answer is a grant.
    ///
    /// # Errors
    /// What the registry answers the caller.
    pub async fn length(
        &self,
        repository: &Repository,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<u64, Failure> {
        let told = self.registries.blob_head(repository, digest, caller).await?;
        self.granted(repository, digest, caller);
        Ok(told.length)
    }

    /// Asks the registry for a manifest in the caller's name. An answer is a grant.
    ///
    /// # Errors
    /// What the registry answers the caller.
    pub async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        request: &ManifestRequest,
        caller: &Caller,
    ) -> Result<ManifestAnswer, Failure> {
        let answer = self.registries.manifest(repository, reference, request, caller).await?;
        self.granted(repository, &answer.digest, caller);
        Ok(answer)
    }
}

/// Facts that are believed for a time.
#[derive(Debug)]
struct Facts<K> {
    life: Duration,
    known: Mutex<HashMap<K, Instant>>,
}

/// So many facts of a kind are kept; a flood of questions cannot fill the memory.
const MAX_FACTS: usize = 100_000;

impl<K: Hash + Eq> Facts<K> {
    fn new(life: Duration) -> Self {
        Self { life, known: Mutex::default() }
    }

    fn holds(&self, fact: &K) -> bool {
        !self.left(fact).is_zero()
    }

    /// For how much longer the fact is believed.
    fn left(&self, fact: &K) -> Duration {
        let learned = lock(&self.known).get(fact).copied();
        learned.map_or(Duration::ZERO, |learned| self.life.saturating_sub(learned.elapsed()))
    }

    fn forget(&self, fact: &K) {
        lock(&self.known).remove(fact);
    }

    fn learn(&self, fact: K) {
        let mut known = lock(&self.known);
        if known.len() >= MAX_FACTS {
            known.retain(|_, learned| learned.elapsed() < self.life);
            if known.len() >= MAX_FACTS {
                known.clear();
            }
        }
        known.insert(fact, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_ends() {
        let facts = Facts::new(Duration::from_millis(20));
        facts.learn("a");
        assert!(facts.holds(&"a"));
        assert!(facts.left(&"a") <= Duration::from_millis(20));
        facts.learn("c");
        facts.forget(&"c");
        assert!(!facts.holds(&"c"));
        assert!(!facts.holds(&"b"));
        std::thread::sleep(Duration::from_millis(30));
        assert!(!facts.holds(&"a"));
    }
}
