//! Pieces from the origin into the store: one stream a task, in order, only what is needed.
//!
//! Step 6 of the walk. In a supernode what comes is attested: its digests are computed and signed,
//! so that nodes can believe each other. On a node that found no supernode it is provisional.
//! Either way a task has at most one stream from the origin, opened once when its length is learned
//! and read on from there.
//!
//! `task` is one task's feed, `describe` learns from the origin what a task is, `stream` reads it on,
//! `precedence` lets the more urgent of several streams go first, `keep` makes pieces of what came.

mod describe;
mod keep;
mod precedence;
mod stream;
mod task;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use content::{Attestor, PieceIndex, TaskId};
use registry::{Caller, Registries, RequestId};
use tokio::sync::mpsc;
use wire::control::Priority;

use self::precedence::Precedence;
pub use self::task::Need;
use self::task::{Asker, Feed, Waiting};
use crate::access::CallerId;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::live::LiveTask;
use crate::lock::lock;
use crate::origin::{Origin, RegistryOrigin};
use crate::reader::Eagerness;

/// What bytes from the origin are to this process.
#[derive(Clone, Debug)]
pub enum Belief {
    /// We say for the cluster what the origin sent.
    Attest(Attestor),
    /// We keep it for ourselves until the whole has matched.
    Provisional,
}

/// What a feed tells.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// A piece came and is stored.
    Piece(TaskId, PieceIndex),
    /// The origin does not serve a caller any more that it served before: what was granted to it
    /// is to be asked again.
    Denied(RegistryOrigin),
    /// Nobody could say what the task is. (One that has begun tells its failure itself:
    /// [`LiveTask::end`].)
    Failed(TaskId, Failure),
}

/// The streams from the origin, one a task. Clones share them.
#[derive(Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    registries: Registries,
    belief: Belief,
    events: mpsc::UnboundedSender<FeedEvent>,
    feeds: Mutex<HashMap<TaskId, Arc<Feed>>>,
    precedence: Precedence,
}

impl Feeds {
    /// Streams into `engine`; what happens is told through `events`.
    #[must_use]
    pub fn new(
        engine: Engine,
        registries: Registries,
        belief: Belief,
        events: mpsc::UnboundedSender<FeedEvent>,
    ) -> Self {
        let (feeds, precedence) = (Mutex::default(), Precedence::default());
        let inner = Inner { engine, registries, belief, events, feeds, precedence };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the origin itself gave the task to `caller`, when it was asked what it is.
    #[must_use]
    pub fn granted_to(&self, id: &TaskId, caller: &Caller) -> bool {
        let feed = self.known(id);
        feed.is_some_and(|feed| feed.granted_to.get() == Some(&CallerId::of(caller)))
    }

    /// Another origin for a task that is known.
    pub fn also(&self, id: TaskId, origin: Origin) {
        self.feed(id, origin);
    }

    /// What is needed of a task from now on; nothing stops its stream. Says whether anybody told
    /// where the task comes from.
    pub fn need(&self, id: TaskId, need: Need) -> bool {
        let feed = self.known(&id);
        let Some(feed) = feed else { return false };
        let wanted = !need.pieces.is_empty();
        feed.need.send_replace(need);
        if wanted {
            self.start(&feed);
        }
        true
    }

    /// All of a short task, for an answer that carries it inline.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn whole(&self, live: &Arc<LiveTask>) -> Result<Bytes, Failure> {
        let feed = self.known(&live.id());
        let _waiting = feed.as_ref().map(|feed| {
            let waiting = Waiting::new(feed);
            self.start(feed);
            waiting
        });
        let length = live.layout().length();
        let mut reader = self.inner.engine.read(live, 0..length, Priority::Pull, Eagerness::All);
        let mut whole = BytesMut::new();
        while let Some(bytes) = reader.next().await? {
            whole.extend_from_slice(&bytes);
        }
        if length == 0 {
            // No last piece held the empty task back; it still has to match its name.
            live.until_whole().await?;
        }
        Ok(whole.freeze())
    }

    fn start(&self, feed: &Arc<Feed>) {
        let mut running = lock(&feed.running);
        if !*running {
            *running = true;
            tokio::spawn(stream::run(Arc::clone(&self.inner), Arc::clone(feed)));
        }
    }

    /// Stops a task's stream and lets go of its connection; its origins are remembered.
    pub async fn pause(&self, id: &TaskId) {
        let feed = self.known(id);
        if let Some(feed) = feed {
            feed.need.send_replace(Need::default());
            feed.open.lock().await.take();
        }
    }

    /// Where a task can be had, as far as anybody said; the latest asker last.
    #[must_use]
    pub fn origins(&self, id: &TaskId) -> Vec<Origin> {
        let feed = self.known(id);
        let askers = feed.map(|feed| lock(&feed.askers).clone()).unwrap_or_default();
        askers.into_iter().map(|asker| asker.origin).collect()
    }

    /// Forgets a task's origins and their credentials.
    pub fn forget(&self, id: &TaskId) {
        if let Some(feed) = lock(&self.inner.feeds).remove(id) {
            feed.need.send_replace(Need::default());
        }
    }

    /// The feed of a task of which somebody told where it comes from.
    fn known(&self, id: &TaskId) -> Option<Arc<Feed>> {
        lock(&self.inner.feeds).get(id).map(Arc::clone)
    }

    fn feed(&self, id: TaskId, origin: Origin) -> Arc<Feed> {
        let mut feeds = lock(&self.inner.feeds);
        let feed = feeds.entry(id).or_insert_with(|| Arc::new(Feed::new(id)));
        feed.asked(Asker { origin, request: RequestId::current() });
        Arc::clone(feed)
    }

    /// Forgets the origins of tasks that nobody reads, fetches or serves any more, and the
    /// credentials with them: whoever asks again brings them again.
    pub fn sweep(&self) {
        let engine = &self.inner.engine;
        lock(&self.inner.feeds).retain(|id, feed| {
            Arc::strong_count(feed) > 1 || *lock(&feed.running) || engine.is_live(id)
        });
    }
}

impl Inner {
    /// Whether the feed is its task's still: one that was forgotten has no say any more.
    fn is_present(&self, feed: &Arc<Feed>) -> bool {
        lock(&self.feeds).get(&feed.id).is_some_and(|present| Arc::ptr_eq(present, feed))
    }
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}
