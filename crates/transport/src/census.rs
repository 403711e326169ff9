//! Who is connected, and how often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::role::{PeerIdentity, Role};

/// How a connection came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Way {
    Quic,
    Bulk,
}

/// The connections that peers have opened.
#[derive(Default)]
pub(crate) struct Census {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    total: HashMap<Way, usize>,
    members: HashMap<(PeerIdentity, Way), Vec<Member>>,
}

struct Member {
    number: u64,
    from: IpAddr,
    close: CancellationToken,
}

/// A counted connection; dropping it uncounts it.
pub(crate) struct Place {
    census: Arc<Census>,
    key: (PeerIdentity, Way),
    number: u64,
}

impl Census {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no connection more is taken.
    pub(crate) fn is_full(&self, way: Way, limits: &Limits) -> bool {
        let state = self.state();
        state.total.get(&way).is_some_and(|total| *total >= limits.max_connections)
    }

    /// Counts a connection; `None` if there are too many.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: PeerIdentity,
        way: Way,
        from: IpAddr,
        close: CancellationToken,
        limits: &Limits,
    ) -> Option<Place> {
        let mut state = self.state();
        if state.total.get(&way).is_some_and(|total| *total >= limits.max_connections) {
            return None;
        }
        let key = (peer, way);
        let number = state.next;
        let members = state.members.entry(key.clone()).or_default();
        match way {
            // The oldest may be a ghost of a peer that died; the newcomer is certainly alive.
            Way::Quic if members.len() >= limits.max_connections_per_peer => {
                members.remove(0).close.cancel();
            }
            // These carry transfers that shall not be cut; the peer goes on over QUIC.
            Way::Bulk if members.len() >= limits.max_bulk_per_peer => return None,
            _ => {}
        }
        members.push(Member { number, from, close });
        state.next += 1;
        *state.total.entry(way).or_default() += 1;
        Some(Place { census: Arc::clone(self), key, number })
    }

    /// Whether a node of that name is connected from another address.
    pub(crate) fn is_elsewhere(&self, name: &str, from: IpAddr) -> bool {
        let key = (PeerIdentity { role: Role::Node, name: name.to_owned() }, Way::Quic);
        let state = self.state();
        let members = state.members.get(&key);
        members.is_some_and(|members| members.iter().any(|member| member.from != from))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.census.state();
        if let Some(total) = state.total.get_mut(&self.key.1) {
            *total = total.saturating_sub(1);
        }
        if let Some(members) = state.members.get_mut(&self.key) {
            members.retain(|member| member.number != self.number);
            if members.is_empty() {
                state.members.remove(&self.key);
            }
        }
    }
}
