//! Other nodes that were seen, to turn to when no supernode answers.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use content::TaskId;
use wire::data::KnownPeer;

/// So many peers are remembered for a task.
const OF_A_TASK: usize = 32;

/// So many nodes are remembered whatever they had.
const NEIGHBOURS: usize = 16;

/// The nodes that were seen, latest first.
#[derive(Debug, Default)]
pub struct Peers {
    of: HashMap<TaskId, VecDeque<KnownPeer>>,
    neighbours: VecDeque<KnownPeer>,
}

impl Peers {
    /// A node was seen to have pieces of a task.
    pub fn saw(&mut self, id: TaskId, peer: KnownPeer) {
        self.meet(peer.clone());
        put_first(self.of.entry(id).or_default(), peer, OF_A_TASK);
    }

    /// Forgets who had pieces of tasks that are not `known` any more.
    pub fn retain(&mut self, known: impl Fn(&TaskId) -> bool) {
        self.of.retain(|id, _| known(id));
    }

    /// A node was seen.
    pub fn meet(&mut self, peer: KnownPeer) {
        put_first(&mut self.neighbours, peer, NEIGHBOURS);
    }

    /// Who may have pieces of a task: those that were seen to, then the neighbours.
    #[must_use]
    pub fn of(&self, id: &TaskId) -> Vec<KnownPeer> {
        let mut peers: Vec<KnownPeer> = self.of.get(id).into_iter().flatten().cloned().collect();
        for other in &self.neighbours {
            if peers.len() < OF_A_TASK && peers.iter().all(|peer| peer.name != other.name) {
                peers.push(other.clone());
            }
        }
        peers
    }

    /// The nodes that were seen last, whatever they had.
    #[must_use]
    pub fn neighbours(&self) -> Vec<KnownPeer> {
        self.neighbours.iter().cloned().collect()
    }
}

/// Where others reach a node that told `address`: an unspecified one stands for the address that
/// its connection is `seen` from.
#[must_use]
pub fn reachable(address: &str, seen: SocketAddr) -> String {
    match address.parse::<SocketAddr>() {
        Ok(told) if told.ip().is_unspecified() => {
            SocketAddr::new(seen.ip(), told.port()).to_string()
        }
        _ => address.to_owned(),
    }
}

fn put_first(peers: &mut VecDeque<KnownPeer>, peer: KnownPeer, most: usize) {
    peers.retain(|other| other.name != peer.name);
    peers.push_front(peer);
    peers.truncate(most);
}

#[cfg(test)]
mod tests {
    use content::Digest;

    use super::*;

    fn peer(name: &str) -> KnownPeer {
        KnownPeer { name: name.into(), address: String::new() }
    }

    #[test]
    fn holders_come_before_neighbours_and_nobody_twice() {
        let (one, other) = (TaskId::Blob(Digest::of(b"1")), TaskId::Blob(Digest::of(b"2")));
        let mut peers = Peers::default();
        peers.saw(one, peer("a"));
        peers.saw(other, peer("b"));
        peers.meet(peer("c"));
        peers.saw(one, peer("a"));
        let names = |id| peers.of(id).into_iter().map(|peer| peer.name).collect::<Vec<_>>();
        assert_eq!(names(&one), ["a", "c", "b"]);
        assert_eq!(names(&other), ["b", "a", "c"]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let id = TaskId::Blob(Digest::of(b"1"));
        let mut peers = Peers::default();
        for number in 0..1000 {
            peers.saw(id, peer(&number.to_string()));
        }
        assert_eq!(peers.of(&id).len(), OF_A_TASK);
        assert_eq!(peers.neighbours().len(), NEIGHBOURS);
        assert_eq!(peers.of(&id)[0].name, "999");
    }
}
