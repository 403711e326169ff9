//! Chunks by way of the node's dfdaemon, and from the registry where it is away.

mod answer;
mod blob;
mod daemon;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use content::Digest;
use image::registry::{Credential, Repository};
use lazy::{Source, Urgency, Want};
use url::form_urlencoded::Serializer;

use answer::Failed;
pub use blob::WholeBlob;
pub use daemon::Daemon;
use daemon::Part;

use crate::grants::Grants;
use crate::lock::lock;
use crate::origin::Origin;
use crate::tally::From;

/// So long it may take at most to renew what dfdaemon is shown.
const RENEWAL: Duration = Duration::from_secs(10);

/// One blob of an image in a registry.
#[derive(Debug)]
pub struct Swarm {
    daemon: Arc<Daemon>,
    target: String,
    repository: Repository,
    digest: Digest,
    registry: Origin,
    /// What dfdaemon is shown.
    shown: Mutex<Shown>,
    grants: Arc<Grants>,
}

/// What proves to a registry that we may read, as dfdaemon is shown it. The same for as long as it is
/// good: what was granted to it stays granted while the registry is away.
#[derive(Debug, Default)]
struct Shown {
    credential: Option<Credential>,
    /// Whether it was good for the last read.
    good: bool,
}

impl Swarm {
    /// The blob `digest` of `repository`; `registry` has it too, and `grants` remembers that.
    #[must_use]
    pub fn new(
        daemon: Arc<Daemon>,
        repository: &Repository,
        digest: &Digest,
        registry: Origin,
        grants: Arc<Grants>,
    ) -> Self {
        let target = target(repository, digest);
        let (repository, digest) = (repository.clone(), *digest);
        Self { daemon, target, repository, digest, registry, shown: Mutex::default(), grants }
    }

    fn by_way_of_dfdaemon(&self, offset: u64, length: u64, want: &Want) -> Result<Bytes, Failed> {
        let priority = match want.urgency {
            Urgency::Blocked => "blocked",
            Urgency::Prefetch => "prefetch",
        };
        let target = format!("{}&priority={priority}", self.target);
        let credential = self.credential(&Want::within(RENEWAL.min(want.left() / 4), want.urgency));
        let read = self.daemon.read(&Part { target, credential, offset, length }, want.until);
        // It may have expired. If it has not, asking for it once more costs nothing.
        lock(&self.shown).good = read.is_ok();
        read
    }

    fn credential(&self, want: &Want) -> Option<Credential> {
        let shown = lock(&self.shown);
        let before = shown.credential.clone();
        if shown.good {
            return before;
        }
        drop(shown);
        let credential = self.registry.authorization(want).unwrap_or_else(|error| {
            tracing::debug!(%error, "what is shown to the registry is not renewed");
            before
        });
        lock(&self.shown).credential.clone_from(&credential);
        credential
    }
}

/// What dfdaemon is asked for a blob by, without how urgently.
fn target(repository: &Repository, digest: &Digest) -> String {
    let query = Serializer::new(String::new())
        .append_pair("registry", repository.registry())
        .append_pair("repository", repository.name())
        .append_pair("digest", &digest.to_string())
        .finish();
    format!("/v1/blob?{query}")
}

impl Source for Swarm {
    fn read(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        match self.by_way_of_dfdaemon(offset, length, want) {
            Ok(bytes) => {
                self.daemon.tally().given(From::Dfdaemon, length);
                Ok(bytes)
            }
            Err(failed) if failed.leaves_the_registry(want.urgency) => {
                tracing::debug!(error = %failed, "not by way of dfdaemon: asking the registry");
                self.registry.read(offset, length, want)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// What came by way of others was not right: the registry's own.
    fn read_again(&self, offset: u64, length: u64, want: &Want) -> io::Result<Bytes> {
        self.registry.read_again(offset, length, want)
    }

    /// While the registry is away, it counts that it has said so within a day.
    fn confirm(&self, want: &Want) -> io::Result<()> {
        let ask = |want: &Want| self.registry.confirm(want);
        self.grants.confirm(&self.repository, &self.digest, want, ask)
    }

    fn granted(&self) {
        self.grants.note(&self.repository, &self.digest);
    }
}
