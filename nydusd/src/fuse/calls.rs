//! How many of the kernel's questions about one mount were answered, by their kind. The kernel keeps
//! most answers, so these are far fewer than what programs ask of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of question, with its place in nydusd's lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Attributes of an inode.
    Getattr = 0,
    /// The target of a symbolic link.
    Readlink = 1,
    /// A file is opened.
    Open = 2,
    /// And closed by its last user.
    Release = 3,
    /// Bytes of a file.
    Read = 4,
    /// Numbers of the file system.
    Statfs = 5,
    /// An extended attribute.
    Getxattr = 6,
    /// The names of all.
    Listxattr = 7,
    /// A directory is opened.
    Opendir = 8,
    /// A name in a directory.
    Lookup = 9,
    /// All names in a directory.
    Readdir = 10,
    /// All names, and what they name.
    Readdirplus = 11,
    /// Whether somebody may. (The kernel decides that itself.)
    Access = 12,
    /// The kernel remembers an inode no more.
    Forget = 13,
    /// It remembers several no more: here each of them is a [`Self::Forget`].
    BatchForget = 14,
}

/// So many kinds there are.
pub const KINDS: usize = 15;

/// The counters of one mount.
#[derive(Debug, Default)]
pub struct Calls {
    hits: [AtomicU64; KINDS],
    errors: [AtomicU64; KINDS],
    open: AtomicU64,
}

/// The numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CallTotals {
    /// Questions that were answered, by the number of their kind. That there is no such name is an
    /// answer.
    pub hits: [u64; KINDS],
    /// Questions that were answered with an error.
    pub errors: [u64; KINDS],
    /// Files that are open, of those that the kernel says.
    pub open: u64,
}

impl Calls {
    /// Counts a question by its answer, and hands the answer on.
    pub(crate) fn count<T, E>(&self, call: Call, answer: Result<T, E>) -> Result<T, E> {
        let counts = if answer.is_ok() { &self.hits } else { &self.errors };
        if let Some(count) = counts.get(call as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Counts a question that was answered.
    pub(crate) fn hit(&self, call: Call) {
        let _ = self.count::<(), ()>(call, Ok(()));
    }

    /// A file is open from now on.
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// It is so no more.
    pub(crate) fn closed(&self) {
        let less = |open: u64| open.checked_sub(1);
        let _ = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// The numbers so far.
    #[must_use]
    pub fn totals(&self) -> CallTotals {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        CallTotals {
            hits: self.hits.each_ref().map(get),
            errors: self.errors.each_ref().map(get),
            open: get(&self.open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        let calls = Calls::default();
        assert_eq!(calls.count::<u8, ()>(Call::Getattr, Ok(7)), Ok(7));
        assert_eq!(calls.count::<(), u8>(Call::Lookup, Err(2)), Err(2));
        calls.hit(Call::BatchForget);
        calls.opened();
        calls.closed();
        calls.closed();
        let totals = calls.totals();
        let (mut hits, mut errors) = ([0; KINDS], [0; KINDS]);
        (hits[0], hits[14], errors[9]) = (1, 1, 1);
        assert_eq!(totals, CallTotals { hits, errors, open: 0 });
    }
}
