//! The nodes that are connected: they come, are told things, and go.

use schedule::{Event, NodeFacts, NodeId};
use tokio::sync::mpsc;
use wire::control::{FromSupernode, SupernodeSays};
use wire::data::KnownPeer;

use super::{State, Swarm};

/// A node is told of so many others when it comes.
const NEIGHBOURS: usize = 16;

/// A connected node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: String,
    out: mpsc::Sender<FromSupernode>,
    /// Whether it has told all that it holds.
    ready: bool,
}

/// A node that says hello.
#[derive(Debug)]
pub struct Newcomer {
    /// Its name, from its certificate.
    pub name: String,
    /// Where other nodes reach it.
    pub address: String,
    /// What the scheduler should know of it.
    pub facts: NodeFacts,
    /// Where messages to it go. A node that does not drain it is cut off.
    pub out: mpsc::Sender<FromSupernode>,
}

impl Swarm {
    /// Some of the other nodes, the latest first: whom a node may turn to without us.
    #[must_use]
    pub fn neighbours(&self, of: NodeId) -> Vec<KnownPeer> {
        let state = self.state();
        let mut others: Vec<_> = state.nodes.iter().filter(|(id, _)| **id != of).collect();
        others.sort_by_key(|(id, _)| std::cmp::Reverse(id.0));
        let known =
            |node: &Node| KnownPeer { name: node.name.clone(), address: node.address.clone() };
        others.into_iter().take(NEIGHBOURS).map(|(_, node)| known(node)).collect()
    }

    /// A node has come. A former session of the same name is over.
    pub fn join(&self, newcomer: Newcomer) -> NodeId {
        let now = self.now();
        let mut state = self.state();
        if let Some(former) = state.names.get(&newcomer.name).copied() {
            state.leave(former, now);
        }
        let id = NodeId(state.next_node);
        state.next_node += 1;
        state.names.insert(newcomer.name.clone(), id);
        let joined = Event::Joined { node: id, facts: newcomer.facts };
        state.scheduler.apply(joined, now);
        state.nodes.insert(
            id,
            Node {
                name: newcomer.name,
                address: newcomer.address,
                out: newcomer.out,
                ready: false,
            },
        );
        id
    }

    /// A node has gone.
    pub fn leave(&self, node: NodeId) {
        let now = self.now();
        self.state().leave(node, now);
        self.inner.work.notify_one();
    }

    /// A node has told all that it holds.
    pub fn ready(&self, node: NodeId) {
        if let Some(node) = self.state().nodes.get_mut(&node) {
            node.ready = true;
        }
    }

    /// How many nodes are connected and have told all that they hold.
    #[must_use]
    pub fn ready_nodes(&self) -> usize {
        self.state().nodes.values().filter(|node| node.ready).count()
    }
}

impl State {
    fn leave(&mut self, id: NodeId, now: u64) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        if self.names.get(&node.name) == Some(&id) {
            self.names.remove(&node.name);
        }
        self.grants.retain(|_, nodes| {
            nodes.remove(&id);
            !nodes.is_empty()
        });
        self.wanted.leave(id);
        self.scheduler.apply(Event::Left { node: id }, now);
    }

    pub(super) fn name(&self, id: NodeId) -> String {
        self.nodes.get(&id).map_or_else(|| "the cache".into(), |node| node.name.clone())
    }

    /// Sends without waiting: a node whose queue is full does not drain it, and is cut off; if it
    /// lives, it comes again.
    pub(super) fn send(&mut self, id: NodeId, says: SupernodeSays, now: u64) {
        if let Some(node) = self.nodes.get(&id)
            && node.out.try_send(FromSupernode { says: Some(says) }).is_err()
        {
            tracing::warn!(node = %node.name, "cut off: it does not read what it is told");
            self.leave(id, now);
        }
    }
}
