//! Questions of nodes about blobs, manifests and pages: nothing is answered before both facts of
//! access are known (docs/trust.md).

mod blob;
mod manifest;
mod page;
mod url;

use std::sync::Arc;

use peer::feed::Feeds;
use peer::{Access, Engine, Failure};
use registry::{Caller, Credential, Repository};
use wire::request::{Kind, Place};

use crate::swarm::Swarm;

/// Answers what nodes ask.
#[derive(Debug)]
pub struct Answers {
    /// The facts of access.
    pub access: Arc<Access>,
    /// The cache.
    pub engine: Engine,
    /// Its streams from the origin.
    pub feeds: Feeds,
    /// The scheduler.
    pub swarm: Swarm,
}

/// Where something is, and on whose behalf it is asked for.
struct Asked {
    repository: Repository,
    caller: Caller,
}

impl Asked {
    fn read(place: Option<Place>) -> Result<Self, Failure> {
        let invalid = |what: &str| Failure::new(Kind::Invalid, what.to_owned());
        let place = place.ok_or_else(|| invalid("the node did not say where to look"))?;
        let repository = Repository::new(&place.registry, &place.repository)
            .map_err(|error| invalid(&error.to_string()))?;
        let credential = place
            .authorization
            .map(Credential::new)
            .transpose()
            .map_err(|error| invalid(&error.to_string()))?;
        Ok(Self { repository, caller: Caller::Client(credential) })
    }
}
