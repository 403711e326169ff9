//! Whose read has the next thread: no image whose registry is away keeps those of others from theirs.
//! Pure.
//!
//! Reads that look at the disk alone have threads of their own. Of the others a mount holds at most
//! as many threads as are free, and always may hold one: so a single mount gets half of them, two a
//! third each, and whoever comes late finds some. What waits for a thread waits among the reads of
//! its mount; mounts have theirs in turn.

use std::collections::{BTreeMap, VecDeque};

/// So many reads that wait for nobody but the disk are done at one time: enough for what a disk and
/// a few cores can.
const DISK: usize = 8;

/// What a job waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// The disk of this machine.
    Disk,
    /// Somebody else, for the mount of this number.
    Mount(u64),
}

/// Jobs that wait for their turn, and how many were given out and are not done.
#[derive(Debug)]
pub(super) struct Turns<J> {
    most: usize,
    disk: VecDeque<J>,
    at_disk: usize,
    mounts: BTreeMap<u64, Mount<J>>,
    /// Those of the mounts with jobs that wait.
    order: VecDeque<u64>,
    given: usize,
}

#[derive(Debug)]
struct Mount<J> {
    jobs: VecDeque<J>,
    given: usize,
}

impl<J> Turns<J> {
    /// None waits. At most `most` that wait for others are given out, but for each mount's first.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            disk: VecDeque::new(),
            at_disk: 0,
            mounts: BTreeMap::new(),
            order: VecDeque::new(),
            given: 0,
        }
    }

    /// Another one.
    pub(super) fn push(&mut self, lane: Lane, job: J) {
        let Lane::Mount(number) = lane else { return self.disk.push_back(job) };
        let none = || Mount { jobs: VecDeque::new(), given: 0 };
        let mount = self.mounts.entry(number).or_insert_with(none);
        if mount.jobs.is_empty() {
            self.order.push_back(number);
        }
        mount.jobs.push_back(job);
    }

    /// The next that may begin. Who takes it says when it is done.
    pub(super) fn next(&mut self) -> Option<(Lane, J)> {
        if self.at_disk < DISK
            && let Some(job) = self.disk.pop_front()
        {
            self.at_disk = self.at_disk.saturating_add(1);
            return Some((Lane::Disk, job));
        }
        let free = self.most.saturating_sub(self.given);
        let may = |mount: &Mount<J>| mount.given == 0 || mount.given < free;
        let place =
            self.order.iter().position(|number| self.mounts.get(number).is_some_and(may))?;
        let number = self.order.remove(place)?;
        let mount = self.mounts.get_mut(&number)?;
        let job = mount.jobs.pop_front()?;
        mount.given = mount.given.saturating_add(1);
        self.given = self.given.saturating_add(1);
        if !mount.jobs.is_empty() {
            self.order.push_back(number);
        }
        Some((Lane::Mount(number), job))
    }

    /// One of those is done.
    pub(super) fn done(&mut self, lane: Lane) {
        let Lane::Mount(number) = lane else {
            self.at_disk = self.at_disk.saturating_sub(1);
            return;
        };
        self.given = self.given.saturating_sub(1);
        if let Some(mount) = self.mounts.get_mut(&number) {
            mount.given = mount.given.saturating_sub(1);
            if mount.given == 0 && mount.jobs.is_empty() {
                self.mounts.remove(&number);
            }
        }
    }

    /// Whether none waits, and all that were given out are done.
    pub(super) fn is_idle(&self) -> bool {
        self.mounts.is_empty() && self.disk.is_empty() && self.at_disk == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 12;

    /// All that may begin now, as they come.
    fn all(turns: &mut Turns<u64>) -> Vec<u64> {
        std::iter::from_fn(|| turns.next()).map(|(_, job)| job).collect()
    }

    #[test]
    fn a_mount_leaves_threads_to_others_and_all_come_to_the_same() {
        let mut turns = Turns::new(MOST);
        let push = |turns: &mut Turns<u64>, mount| {
            (0..100).for_each(|_| turns.push(Lane::Mount(mount), mount));
        };
        push(&mut turns, 1);
        assert_eq!(all(&mut turns), [1; 6]);
        push(&mut turns, 2);
        push(&mut turns, 3);
        assert_eq!(all(&mut turns), [2, 3, 2, 3]);
        // What the first gives back goes to those who have less, until all have three.
        for begins in [&[2][..], &[3], &[]] {
            turns.done(Lane::Mount(1));
            assert_eq!(all(&mut turns), begins);
        }
    }

    #[test]
    fn however_many_hold_theirs_each_mount_has_one() {
        let mut turns = Turns::new(2);
        for mount in 0..50 {
            (0..3).for_each(|_| turns.push(Lane::Mount(mount), mount));
            assert_eq!(all(&mut turns), [mount]);
        }
    }

    #[test]
    fn mounts_take_turns() {
        let mut turns = Turns::new(2);
        for job in [10, 11, 12, 13] {
            turns.push(Lane::Mount(1), job);
        }
        assert_eq!(all(&mut turns), [10]);
        turns.push(Lane::Mount(2), 20);
        turns.push(Lane::Mount(2), 21);
        assert_eq!(all(&mut turns), [20]);
        turns.done(Lane::Mount(1));
        assert_eq!(all(&mut turns), [11]);
        turns.done(Lane::Mount(1));
        turns.done(Lane::Mount(2));
        assert_eq!(all(&mut turns), [21, 12]);
    }

    #[test]
    fn what_is_on_the_disk_goes_past_what_waits_for_others() {
        let mut turns = Turns::new(2);
        for job in 0..10 {
            turns.push(Lane::Mount(1), job);
        }
        all(&mut turns);
        for job in 100..120 {
            turns.push(Lane::Disk, job);
        }
        assert_eq!(all(&mut turns).len(), DISK);
        for _ in 0..20 {
            turns.done(Lane::Disk);
            all(&mut turns);
        }
        assert!(!turns.is_idle());
        for _ in 0..10 {
            turns.done(Lane::Mount(1));
            all(&mut turns);
        }
        assert!(turns.is_idle() && turns.next().is_none());
    }
}
