//! Step 2 of the walk: from a client's question to a task that can be read.
//!
//! The supernode is asked, which checks both facts of access for the whole cluster. What it granted
//! is believed for the time that it named. Without a supernode the node asks the registry itself
//! (`lone`).
//!
//! Here is who asks and what the answers are taken from; `blob`, `url`, `manifest` and `page` have
//! the four things that can be asked for.

mod blob;
mod manifest;
mod page;
mod url;

use std::time::Duration;

use content::{Digest, TaskId};
use peer::Engine;
use registry::{Caller, Repository};
use wire::request::Place;

pub use self::manifest::ManifestReply;
use crate::grants::Grants;
use crate::link::Link;
use crate::manifests::Manifests;
use crate::mirror::short::ShortEnds;
use crate::search::Search;

/// Something in a registry, and on whose behalf it is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The repository.
    pub repository: Repository,
    /// The client.
    pub caller: Caller,
    /// The id under which all logs tell of it.
    pub request_id: String,
}

impl Asked {
    fn place(&self) -> Place {
        let authorization = match &self.caller {
            Caller::Client(Some(credential)) => Some(credential.expose().to_owned()),
            Caller::Client(None) | Caller::Own => None,
        };
        Place {
            registry: self.repository.registry().to_owned(),
            repository: self.repository.name().to_owned(),
            authorization,
        }
    }
}

/// Asks the supernode, or without one the registry.
#[derive(Debug)]
pub struct Gateway {
    engine: Engine,
    link: Link,
    search: Search,
    /// What is believed without asking again.
    grants: Grants,
    manifests: Manifests,
    short_ends: ShortEnds,
}

impl Gateway {
    /// A gateway to `link`'s supernode, with `search` for the time without one.
    #[must_use]
    pub fn new(link: Link, search: Search) -> Self {
        Self {
            engine: search.engine.clone(),
            link,
            search,
            grants: Grants::default(),
            manifests: Manifests::default(),
            short_ends: ShortEnds::default(),
        }
    }

    /// The engine that tasks are read from.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The answers that ended short lately.
    pub(crate) const fn short_ends(&self) -> &ShortEnds {
        &self.short_ends
    }

    /// Whether an answer about a blob ended short so lately that a client had better take the
    /// blob, or the rest of it, elsewhere. Not once the whole is here and proven.
    #[must_use]
    pub fn ended_short(&self, digest: Digest, resumes: bool) -> bool {
        let task = TaskId::Blob(digest);
        let whole = || self.engine.live(&task).is_some_and(|live| live.is_whole());
        self.short_ends.forbid(&task, resumes) && !whole()
    }

    fn remember(&self, asked: &Asked, digest: Digest, fresh_seconds: u64) {
        self.grants.remember(asked, digest, Duration::from_secs(fresh_seconds));
    }
}
