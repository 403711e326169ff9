//! Life without a supernode: the node asks the registry itself.
//!
//! What it takes from there is provisional: streamed to its own clients, whose last bytes wait for
//! the SHA-256 of the whole, and given to nobody else before that.

use std::sync::Arc;
use std::time::Duration;

use content::{Digest, Layout, TaskId};
use peer::feed::{Feeds, Need};
use peer::origin::{Origin, OriginKind, RegistryOrigin};
use peer::{Access, Engine, Failure, LiveTask};
use registry::{ManifestMethod, ManifestRequest, Page, Reference};
use wire::request::{Header, Kind, Said};

use crate::gateway::{Asked, ManifestReply};

/// A blob's media type, where nobody told another.
const OCTETS: &str = "application/octet-stream";

/// The node on its own.
#[derive(Debug)]
pub struct Lone {
    engine: Engine,
    access: Arc<Access>,
    feeds: Feeds,
}

impl Lone {
    /// A node that turns to the registries of `access` itself.
    #[must_use]
    pub const fn new(engine: Engine, access: Arc<Access>, feeds: Feeds) -> Self {
        Self { engine, access, feeds }
    }

    /// A blob, once the registry has granted it to the client; `granted` says that it did so a short
    /// time ago. Its bytes are not asked for yet: peers may have them.
    pub(crate) async fn open(
        &self,
        asked: &Asked,
        digest: Digest,
        granted: bool,
    ) -> Result<Arc<LiveTask>, Failure> {
        let task = TaskId::Blob(digest);
        let live = match self.engine.live(&task) {
            Some(live) if granted => live,
            Some(live) => {
                self.access.blob(&asked.repository, &digest, &asked.caller).await?;
                live
            }
            None => {
                let length = self.access.length(&asked.repository, &digest, &asked.caller).await?;
                let layout = Layout::for_length(length)
                    .map_err(|error| Failure::new(Kind::Origin, error.to_string()))?;
                self.engine.create(task, layout, OCTETS)?
            }
        };
        self.feeds.also(task, origin(asked, digest));
        Ok(live)
    }

    /// Remembers where a task can be had, for the time when no supernode answers.
    pub(crate) fn also(&self, task: TaskId, asked: &Asked, digest: Digest) {
        self.feeds.also(task, origin(asked, digest));
    }

    /// Fetches from the origin what readers of a task want, and nobody else gives.
    pub(crate) fn need(&self, task: TaskId, need: Need) -> bool {
        self.feeds.need(task, need)
    }

    /// Stops reading the origin: a supernode takes the task over.
    pub(crate) async fn pause(&self, task: &TaskId) {
        self.feeds.pause(task).await;
    }

    /// Where a task can be had, as far as clients said.
    pub(crate) fn origins(&self, task: &TaskId) -> Vec<Origin> {
        self.feeds.origins(task)
    }

    /// For how long a grant of the registry is believed.
    pub(crate) fn readable_for(&self) -> Duration {
        self.access.readable_for()
    }

    pub(crate) async fn manifest(
        &self,
        asked: &Asked,
        reference: &Reference,
        head: bool,
        accept: Vec<String>,
    ) -> Result<ManifestReply, Failure> {
        let request = ManifestRequest {
            method: if head { ManifestMethod::Head } else { ManifestMethod::Get },
            accept,
            if_none_match: None,
        };
        let answer =
            self.access.manifest(&asked.repository, reference, &request, &asked.caller).await?;
        Ok(ManifestReply {
            digest: answer.digest.to_string(),
            media_type: answer.media_type,
            length: answer.length,
            body: answer.body,
            headers: answer.headers.into_iter().map(header).collect(),
        })
    }

    pub(crate) async fn page(&self, asked: &Asked, page: &Page) -> Result<Said, Failure> {
        let passed =
            self.access.registries().get_page(&asked.repository, page, &asked.caller).await?;
        Ok(peer::failure::passed(passed))
    }
}

fn header((name, value): (String, String)) -> Header {
    Header { name, value }
}

fn origin(asked: &Asked, digest: Digest) -> Origin {
    Origin::Registry(RegistryOrigin {
        repository: asked.repository.clone(),
        digest,
        kind: OriginKind::Blob,
        caller: asked.caller.clone(),
    })
}
