//! Recounts everything that is kept counted; for tests.

use std::collections::BTreeMap;

use crate::Priority;
use crate::swarm::Swarm;
use crate::task::{Task, TaskKey};

impl Swarm {
    /// Panics if a count is not what a recount gives.
    pub(crate) fn audit(&self) {
        for (key, task) in self.tasks.iter() {
            audit_pieces(task);
            self.audit_members(key, task);
        }
        self.audit_nodes();
        self.audit_leases();
    }

    /// After a plan, nobody with a free slot may have anything for a receiver with room.
    pub(crate) fn audit_plan(&self) {
        for (key, task) in self.tasks.iter() {
            for (node, member) in &task.members {
                let Some(pull) = member.pull.as_deref().filter(|pull| pull.hunger.is_some()) else {
                    continue;
                };
                for (_, parent) in &self.free {
                    if self.may_serve(key, *parent, *node) && !self.is_reserved(key, *parent) {
                        let held = &task.members[parent].held;
                        let pick = task.pick(held, pull, crate::choose::Which::Any, &self.policy);
                        assert_eq!(pick, None, "{parent:?} could serve {node:?}");
                    }
                }
            }
        }
        assert!(!self.is_dirty(), "a plan leaves nothing to plan");
    }

    fn audit_members(&self, key: TaskKey, task: &Task) {
        for (node, member) in &task.members {
            assert!(self.nodes[*node].tasks.contains(&key));
            assert_eq!(member.held.pieces(task.count).len(), member.held_count as usize);
            let Some(pull) = &member.pull else {
                assert!(self.downloads_of(key, *node).is_empty());
                continue;
            };
            for piece in 0..task.count {
                let held = member.held.get(piece);
                let covered = self.downloads_of(key, *node).iter().any(|id| {
                    let run = self.leases[id].run;
                    run.contains(piece)
                });
                assert_eq!(pull.asked.get(piece), covered && !held, "asked {piece}");
                let open = pull.run.contains(piece) && !held && !covered;
                assert_eq!(pull.open.get(piece), open, "open {piece}");
            }
            let open = u32::try_from(pull.open.iter().count()).unwrap();
            assert_eq!(pull.open_count, open);
            let missing = pull.run.iter().filter(|piece| !member.held.get(*piece));
            assert_eq!(pull.missing as usize, missing.count());
            let extra = match pull.priority {
                Priority::Blocked => self.policy.blocked_extra,
                _ => 0,
            };
            let limit = self.policy.leases_per_receiver + extra;
            let receiver = &self.nodes[*node];
            let is_blocked = pull.priority == Priority::Blocked;
            let hungry = open > 0
                && receiver.has_room(limit, self.now)
                && (is_blocked || !receiver.is_sated());
            assert!(pull.hunger.is_some() == hungry || self.nodes[*node].mute_until > 0);
            assert_eq!(
                pull.hunger.is_some_and(|h| task.hungry.contains(&h)),
                pull.hunger.is_some()
            );
        }
        assert_eq!(self.active.contains(&key), !task.hungry.is_empty());
        let leases = self.leases.values().filter(|lease| lease.task == key);
        assert_eq!(task.leases as usize, leases.count());
    }

    fn audit_nodes(&self) {
        for (key, node) in self.nodes.iter() {
            let free = self.free.contains(&(node.place, key));
            assert!(free == node.is_free(self.now) || node.rests_until > 0);
            for task in &node.tasks {
                assert!(self.tasks[*task].members.contains_key(&key));
            }
        }
        assert!(self.free.iter().all(|(_, key)| self.nodes.get(*key).is_some()));
        assert_eq!(self.node_keys.len(), self.nodes.iter().count());
        assert_eq!(self.task_keys.len(), self.tasks.iter().count());
        let mut early = BTreeMap::new();
        for node in self.early.values().flat_map(|wants| wants.keys()) {
            *early.entry(*node).or_insert(0) += 1;
        }
        for (_, node) in self.nodes.iter() {
            assert_eq!(node.early, early.get(&node.id).copied().unwrap_or(0));
        }
    }

    fn audit_leases(&self) {
        for (id, lease) in &self.leases {
            assert!(self.nodes[lease.node].downloads.contains(id));
            assert!(self.nodes[lease.parent].uploads.contains(id));
            let at = lease.wake_at.expect("every lease is watched");
            assert!(self.timers.contains(&(at, super::timer::Wake::Lease(*id))));
            if let Some(twin) = lease.twin {
                assert_eq!(self.leases[&twin].twin, Some(*id));
            }
        }
        let uploads: usize = self.nodes.iter().map(|(_, node)| node.uploads.len()).sum();
        let downloads: usize = self.nodes.iter().map(|(_, node)| node.downloads.len()).sum();
        assert_eq!((uploads, downloads), (self.leases.len(), self.leases.len()));
        assert!(self.late.iter().all(|id| self.leases.contains_key(id)));
    }
}

fn audit_pieces(task: &Task) {
    let members = || task.members.values();
    for piece in 0..task.count {
        let index = piece as usize;
        let count = |wanted: &dyn Fn(&crate::task::Member) -> bool| {
            u32::try_from(members().filter(|member| wanted(member)).count()).unwrap()
        };
        let pull = |member: &crate::task::Member, test: &dyn Fn(&crate::task::Pull) -> bool| {
            member.pull.as_deref().is_some_and(test)
        };
        let holders = count(&|m| m.is_usable() && m.held.get(piece));
        assert_eq!(task.holders[index], holders, "holders of {piece}");
        let copies = count(&|m| {
            let has = m.held.get(piece) || pull(m, &|pull| pull.asked.get(piece));
            !m.is_cache && m.aside_until.is_none() && has
        });
        assert_eq!(task.copies[index], copies, "copies of {piece}");
        assert_eq!(task.unsent.get(piece), copies == 0);
        let wanted = count(&|m| pull(m, &|pull| pull.run.contains(piece)) && !m.held.get(piece));
        assert_eq!(task.wanted[index], wanted, "wanted {piece}");
        let open = count(&|m| pull(m, &|pull| pull.open.get(piece)));
        assert_eq!(task.open[index], open, "open {piece}");
        assert_eq!(task.open_bits.get(piece), open > 0);
        assert_eq!(task.needed.get(piece), wanted > 0 && holders == 0);
    }
    let receivers = members().filter(|m| m.pull.as_deref().is_some_and(|pull| pull.missing > 0));
    assert_eq!(task.receivers as usize, receivers.count());
    let hungry = members().filter(|m| m.pull.as_deref().is_some_and(|pull| pull.hunger.is_some()));
    assert_eq!(task.hungry.len(), hungry.count());
}
