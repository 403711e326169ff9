//! Who of several nodes reads the origin while no supernode answers: one at a time for each task.
//!
//! Pure: who answers and how far they are goes in, whose turn it is comes out. Nodes do not vote;
//! each applies the same rule to those that it reaches, so that nodes which reach each other agree.
//! What one has read, it gives to the others once the whole has matched.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use content::{Digest, TaskId};

/// A reader that gets no further for so long is passed over.
const STALLED: Duration = Duration::from_secs(10);

/// Two who have read so nearly the same have begun at once. Each looks just after a piece of its own
/// has come, and would see itself ahead for ever.
const ABREAST: u32 = 8;

/// Nobody waits for another's reading longer than this without a byte for its own client, who would
/// give up (containerd's CRI does after five minutes).
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A node that wants the task too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// How many pieces it has from the origin, which it cannot give yet.
    pub provisional: u32,
    /// How many pieces it has in all.
    pub held: u32,
}

/// The election of one task's reader, as this node sees it.
#[derive(Debug)]
pub struct Election {
    task: TaskId,
    me: String,
    passed_over: HashSet<String>,
    /// Who reads, how much it had when it last got further, and when that was.
    reader: Option<(String, u32, Instant)>,
    waiting_since: Option<Instant>,
}

impl Election {
    /// An election in which this node is called `me`.
    #[must_use]
    pub fn new(task: TaskId, me: String) -> Self {
        Self { task, me, passed_over: HashSet::new(), reader: None, waiting_since: None }
    }

    /// Whether it is this node's turn to read the origin, among `others`, of which it has itself
    /// read `provisional` pieces already.
    pub fn is_mine(&mut self, provisional: u32, others: &[Candidate], now: Instant) -> bool {
        let since = *self.waiting_since.get_or_insert(now);
        let mine = now.duration_since(since) >= LONGEST_WAIT
            || loop {
                let ahead = others.iter().filter(|other| {
                    !self.passed_over.contains(&other.name) && self.is_ahead(other, provisional)
                });
                let first =
                    ahead.min_by_key(|other| (Reverse(other.provisional), self.place(&other.name)));
                let Some(first) = first else {
                    break true;
                };
                if self.gets_further(first, now) {
                    break false;
                }
                self.passed_over.insert(first.name.clone());
            };
        if mine {
            self.reader = None;
        }
        mine
    }

    /// This node's client got a byte: there is time again.
    pub fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// Who has read clearly more comes first: changing the reader in the middle costs a second copy.
    /// Otherwise the task's own order decides, so that many tasks have many readers.
    fn is_ahead(&self, other: &Candidate, provisional: u32) -> bool {
        if other.provisional.abs_diff(provisional) > ABREAST {
            return other.provisional > provisional;
        }
        self.place(&other.name) < self.place(&self.me)
    }

    fn place(&self, name: &str) -> Digest {
        Digest::of(format!("{}/{name}", self.task).as_bytes())
    }

    fn gets_further(&mut self, reader: &Candidate, now: Instant) -> bool {
        match &mut self.reader {
            Some((name, held, since)) if *name == reader.name => {
                if reader.held > *held {
                    (*held, *since) = (reader.held, now);
                }
                now.duration_since(*since) < STALLED
            }
            other => {
                *other = Some((reader.name.clone(), reader.held, now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn task(number: u8) -> TaskId {
        TaskId::Blob(Digest::of(&[number]))
    }

    fn candidate(name: &str, provisional: u32, held: u32) -> Candidate {
        Candidate { name: name.into(), provisional, held }
    }

    fn others(me: &str) -> Vec<Candidate> {
        NAMES.iter().filter(|name| **name != me).map(|name| candidate(name, 0, 0)).collect()
    }

    #[test]
    fn nodes_that_see_each_other_agree_on_one() {
        let mut readers = HashSet::new();
        for number in 0..20 {
            let mine = |me: &&str| {
                Election::new(task(number), (*me).into()).is_mine(0, &others(me), Instant::now())
            };
            let elected: Vec<_> = NAMES.iter().filter(|me| mine(me)).collect();
            assert_eq!(elected.len(), 1, "task {number}");
            readers.insert(*elected[0]);
        }
        assert!(readers.len() > 1, "one node reads everything");
    }

    #[test]
    fn who_has_begun_goes_on() {
        let now = Instant::now();
        for number in 0..20 {
            let mut election = Election::new(task(number), "a".into());
            assert!(!election.is_mine(0, &[candidate("b", 20, 20)], now));
            assert!(election.is_mine(20, &[candidate("b", 1, 1)], now));
        }
    }

    #[test]
    fn of_two_who_read_abreast_one_gives_way() {
        let now = Instant::now();
        for number in 0..20 {
            let [mut one, mut other] =
                ["a", "b"].map(|name| Election::new(task(number), name.into()));
            // Each looks when its own piece has come and the other's has not.
            let both = (51..60).all(|read| {
                one.is_mine(read, &[candidate("b", read - 1, read - 1)], now)
                    && other.is_mine(read, &[candidate("a", read - 1, read - 1)], now)
            });
            assert!(!both, "task {number}");
        }
    }

    #[test]
    fn who_gets_no_further_is_passed_over() {
        let began = Instant::now();
        let mut election = Election::new(task(0), "a".into());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!(!election.is_mine(0, &[candidate("b", 21, 21)], at(0)));
        assert!(!election.is_mine(0, &[candidate("b", 22, 22)], at(9)), "it got further");
        assert!(!election.is_mine(0, &[candidate("b", 22, 22)], at(18)));
        assert!(election.is_mine(0, &[candidate("b", 22, 22)], at(20)));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let began = Instant::now();
        let mut election = Election::new(task(0), "a".into());
        for second in 0..240_u32 {
            let reader = candidate("b", 20 + second, 20 + second);
            let now = began + Duration::from_secs(second.into());
            if second == 119 {
                election.moved();
            }
            assert_eq!(election.is_mine(0, &[reader], now), second == 239, "after {second} s");
        }
    }
}
