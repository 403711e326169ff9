//! What was granted to whom, a short time ago: it is believed for the time that the supernode, or
//! the registry's answer, gave it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use content::Digest;
use peer::access::CallerId;
use registry::Repository;

use crate::gateway::Asked;

/// So many grants are kept in memory; older ones are asked for again.
const MAX_GRANTS: usize = 50_000;

/// No grant is believed for longer, whoever says so.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Fresh grants: this credential may have this digest of this repository.
#[derive(Debug, Default)]
pub struct Grants {
    until: Mutex<HashMap<Key, Instant>>,
}

type Key = (Repository, Digest, CallerId);

impl Grants {
    /// `digest` was granted to who asked, for so long.
    pub fn remember(&self, asked: &Asked, digest: Digest, fresh_for: Duration) {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MAX_GRANTS {
            until.retain(|_, until| *until > now);
            if until.len() >= MAX_GRANTS {
                until.clear();
            }
        }
        until.insert(key(asked, digest), now + fresh_for.min(LONGEST));
    }

    /// Whether `digest` was granted to who asks, and the grant is still fresh.
    #[must_use]
    pub fn is_fresh(&self, asked: &Asked, digest: Digest) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&key(asked, digest)).is_some_and(|until| *until > Instant::now())
    }
}

fn key(asked: &Asked, digest: Digest) -> Key {
    (asked.repository.clone(), digest, CallerId::of(&asked.caller))
}
