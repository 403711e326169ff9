//! Pieces from the origin into the store: one stream a task, in order, only what is needed.
//!
//! Step 6 of the walk. In a supernode what comes is attested: its digests are computed and signed,
//! so that nodes can believe each other. On a node that found no supernode it is provisional.
//! Either way a task has at most one stream from the origin, opened once when its length is learned
//! and read on from there.

mod keep;
mod stream;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use content::{Attestor, Layout, PieceIndex, PieceSet, TaskId};
use registry::{Caller, Registries, RequestId};
use tokio::sync::{OnceCell, mpsc, watch};
use wire::control::Priority;
use wire::request::Kind;

use crate::access::CallerId;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::live::{End, LiveTask, lock};
use crate::origin::{Origin, OriginStream, RegistryOrigin};
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
}

/// One task's stream.
struct Feed {
    id: TaskId,
    /// Held while the origin is asked what the task is. The answer is not kept here: a handle to the
    /// task would keep it from being evicted.
    describing: tokio::sync::Mutex<()>,
    /// Who the origin first gave it to.
    granted_to: OnceCell<CallerId>,
    /// Who may read it at the origin, the latest asker last.
    askers: Mutex<Vec<Asker>>,
    open: tokio::sync::Mutex<Option<Open>>,
    need: watch::Sender<Need>,
    /// How many wait for all of it, whatever the scheduler needs.
    inline: AtomicUsize,
    running: Mutex<bool>,
    /// How the task ended that was last fed.
    end: Mutex<Option<watch::Receiver<End>>>,
}

impl Feed {
    fn follow(&self, live: &LiveTask) {
        *lock(&self.end) = Some(live.end());
    }

    /// Whether the task that was last fed came to nothing.
    fn has_failed(&self) -> bool {
        lock(&self.end).as_ref().is_some_and(|end| matches!(*end.borrow(), End::Failed(_)))
    }
}

/// An open stream, and in whose name it was asked for.
struct Open {
    origin: Origin,
    stream: OriginStream,
}

/// Somebody who may read a task at its origin.
#[derive(Clone)]
struct Asker {
    origin: Origin,
    /// The request by which that was learned.
    request: Option<RequestId>,
}

/// What is needed of a task from the origin.
#[derive(Clone, Debug, Default)]
pub struct Need {
    /// The pieces.
    pub pieces: PieceSet,
    /// The one that somebody waits for.
    pub urgent: Option<PieceIndex>,
}

/// So many askers of one task are remembered, to go on in another's name when one's credential
/// ends.
const ASKERS: usize = 8;

impl Feeds {
    /// Streams into `engine`; what happens is told through `events`.
    #[must_use]
    pub fn new(
        engine: Engine,
        registries: Registries,
        belief: Belief,
        events: mpsc::UnboundedSender<FeedEvent>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner { engine, registries, belief, events, feeds: Mutex::default() }),
        }
    }

    /// What the task is, by asking the origin if it is not known: the answer's stream is kept, so
    /// that the question costs no request of its own. Askers at the same time ask once.
    ///
    /// # Errors
    /// What the registry said, or why it cannot be asked.
    pub async fn describe(&self, id: TaskId, origin: Origin) -> Result<Arc<LiveTask>, Failure> {
        if let Some(live) = self.inner.engine.live(&id) {
            self.feed(id, origin);
            return Ok(live);
        }
        let feed = self.feed(id, origin.clone());
        let _asking = feed.describing.lock().await;
        if let Some(live) = self.inner.engine.live(&id) {
            return Ok(live);
        }
        let described = self.inner.ask(&feed, &origin).await;
        if described.is_err() && self.inner.is_present(&feed) {
            lock(&self.inner.feeds).remove(&id);
        }
        described
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
        let feed = feeds.entry(id).or_insert_with(|| {
            Arc::new(Feed {
                id,
                describing: tokio::sync::Mutex::default(),
                granted_to: OnceCell::new(),
                askers: Mutex::default(),
                open: tokio::sync::Mutex::default(),
                need: watch::Sender::default(),
                inline: AtomicUsize::new(0),
                running: Mutex::default(),
                end: Mutex::default(),
            })
        });
        let mut askers = lock(&feed.askers);
        askers.push(Asker { origin, request: RequestId::current() });
        if askers.len() > ASKERS {
            askers.remove(0);
        }
        drop(askers);
        Arc::clone(feed)
    }

    /// What a task is whose stream is open at its first byte already.
    ///
    /// # Errors
    /// If the store cannot make it.
    pub async fn adopt(
        &self,
        id: TaskId,
        origin: Origin,
        stream: OriginStream,
    ) -> Result<Arc<LiveTask>, Failure> {
        let feed = self.feed(id, origin.clone());
        let _asking = feed.describing.lock().await;
        if let Some(live) = self.inner.engine.live(&id) {
            return Ok(live);
        }
        self.inner.begin(&feed, &origin, stream).await
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

    async fn ask(&self, feed: &Arc<Feed>, origin: &Origin) -> Result<Arc<LiveTask>, Failure> {
        let stream = OriginStream::open(&self.registries, origin, 0).await?;
        self.begin(feed, origin, stream).await
    }

    async fn begin(
        &self,
        feed: &Arc<Feed>,
        origin: &Origin,
        stream: OriginStream,
    ) -> Result<Arc<LiveTask>, Failure> {
        let layout = Layout::for_length(stream.total())
            .map_err(|error| Failure::new(Kind::Origin, error.to_string()))?;
        let live = self.engine.create(feed.id, layout, stream.media_type())?;
        *feed.open.lock().await = Some(Open { origin: origin.clone(), stream });
        feed.follow(&live);
        // It may have been forgotten meanwhile, with a former attempt at the task.
        lock(&self.feeds).entry(feed.id).or_insert_with(|| Arc::clone(feed));
        let _ = feed.granted_to.set(CallerId::of(origin.caller()));
        Ok(live)
    }

    /// The task of a feed that is to run. One that was evicted meanwhile is described again.
    async fn task_of(&self, feed: &Arc<Feed>) -> Result<Arc<LiveTask>, Failure> {
        let _asking = feed.describing.lock().await;
        if let Some(live) = self.engine.live(&feed.id) {
            return Ok(live);
        }
        let mut failure = nowhere();
        let askers = lock(&feed.askers).clone();
        for Asker { origin, request } in askers.into_iter().rev() {
            match RequestId::scope(request, self.ask(feed, &origin)).await {
                Ok(live) => return Ok(live),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

fn nowhere() -> Failure {
    Failure::new(Kind::Origin, "nobody said where the task comes from")
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}

/// Somebody waits for all of a task.
struct Waiting(Arc<Feed>);

impl Waiting {
    fn new(feed: &Arc<Feed>) -> Self {
        feed.inline.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(feed))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.inline.fetch_sub(1, Ordering::Relaxed);
    }
}
