//! Reading a task: the SHA-256 pass over it begins, and a reader comes to the attempt that counts.

use std::ops::Range;
use std::sync::Arc;

use content::Digest;
use wire::control::Priority;

use super::Engine;
use crate::hashing;
use crate::live::LiveTask;
use crate::lock::lock;
use crate::metrics::Source;
use crate::reader::{Eagerness, Reader};

impl Engine {
    /// Reads a range of a task as it arrives.
    #[must_use]
    pub fn read(
        &self,
        live: &Arc<LiveTask>,
        range: Range<u64>,
        priority: Priority,
        eagerness: Eagerness,
    ) -> Reader {
        self.count_stored(live, &range);
        let mut live = Arc::clone(live);
        loop {
            self.hash(&live, None);
            let reader = Reader::new(Arc::clone(&live), range.clone(), priority, eagerness);
            // Now that it is read it stays. Before, its last reader may have gone, and whoever asked
            // for it then has begun it anew: what comes in goes there.
            let Some(newer) = self.newer(&live) else { return reader };
            live = newer;
        }
    }

    /// A later attempt at the task, which has taken this one's place and its wants. Its own last
    /// reader may have gone too: who comes now makes that undone.
    fn newer(&self, task: &LiveTask) -> Option<Arc<LiveTask>> {
        let live = lock(&self.inner.live);
        let present = live.get(&task.id()).filter(|present| present.attempt() > task.attempt())?;
        (present.layout() == task.layout()).then(|| Arc::clone(present))
    }

    /// Begins the one SHA-256 pass over the task, if it has not begun: then the whole must have the
    /// digest `expected`, if that is said. Who comes later cannot make it fail for the others.
    pub fn hash(&self, live: &Arc<LiveTask>, expected: Option<Digest>) {
        if live.begin_hashing() {
            live.expect(expected);
            tokio::spawn(hashing::follow(self.clone(), Arc::clone(live)));
        }
    }

    /// Bytes that a reader finds here already come from the store.
    fn count_stored(&self, live: &Arc<LiveTask>, range: &Range<u64>) {
        let layout = live.layout();
        let run = layout.covering(range.clone());
        let stored: u64 = run
            .iter()
            .filter(|index| live.has_local(*index))
            .filter_map(|index| layout.extent(index))
            .map(|extent| extent.end.min(range.end) - extent.start.max(range.start))
            .sum();
        self.inner.metrics.received(Source::Store, stored);
    }
}

#[cfg(test)]
mod tests {
    use content::{Layout, TaskId, Verifier};
    use store::{Store, StoreConfig};

    use super::*;
    use crate::metrics::Metrics;
    use crate::plan::NoPlan;

    #[tokio::test]
    async fn a_reader_comes_to_the_attempt_that_took_its_tasks_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(folder.path())).unwrap();
        let nobody = Verifier::new(Vec::new());
        let engine = Engine::new(Arc::new(store), nobody, Arc::new(NoPlan), Metrics::default());
        let id = TaskId::Blob(Digest::of(b"a blob"));
        let layout = Layout::for_length(100 << 20).unwrap();
        let create = || engine.create(id, layout, "test/blob").unwrap();
        let read =
            |live: &Arc<LiveTask>| engine.read(live, 0..100 << 20, Priority::Pull, Eagerness::All);

        let asked = create();
        let whole = Digest::of(b"a blob");
        engine.hash(&asked, Some(whole));
        // As if the store had refused a piece of it.
        asked.unkept.get_or_init(|| asked.budget.share());
        let (first, second) = (read(&asked), read(&asked));
        drop(first);
        assert!(asked.is_open_to_more(), "somebody reads it");
        drop(second);
        assert!(!asked.is_open_to_more());
        let begun = create();
        assert!(begun.attempt() > asked.attempt());
        assert_eq!(begun.expected(), Some(whole), "it must be what it had to be");
        let late = read(&asked);
        assert_eq!((asked.readers().len(), begun.readers().len()), (0, 1));
        drop(late);

        // Where nobody has begun it anew, it goes on, for who comes from before too.
        begun.unkept.get_or_init(|| begun.budget.share());
        drop(read(&begun));
        assert!(!begun.is_open_to_more());
        let late = read(&asked);
        assert_eq!((asked.readers().len(), begun.readers().len()), (0, 1));
        assert!(begun.is_open_to_more() && Arc::ptr_eq(&create(), &begun));
        drop(late);
    }
}
