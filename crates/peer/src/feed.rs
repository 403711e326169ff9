//! Pieces from the origin into the store: one stream a task, in order, only what is needed.
//!
//! Step 6 of the walk. In a supernode what comes is attested: its digests are computed and signed,
//! so that nodes can believe each other. On a node that found no supernode it is provisional.
//! Either way a task has at most one stream from the origin, opened once when its length is learned
//! and read on from there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use content::statement::Said;
use content::{Attestor, Layout, PieceIndex, PieceSet, Provisional, Statement, TaskId, Unverified};
use registry::{Caller, Registries, RequestId};
use tokio::sync::{OnceCell, mpsc, watch};
use wire::control::Priority;
use wire::request::Kind;

use crate::access::CallerId;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::keeping::Keeping;
use crate::live::{End, LiveTask, lock};
use crate::metrics::Source;
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
        let feed = lock(&self.inner.feeds).get(id).map(Arc::clone);
        feed.is_some_and(|feed| feed.granted_to.get() == Some(&CallerId::of(caller)))
    }

    /// Another origin for a task that is known.
    pub fn also(&self, id: TaskId, origin: Origin) {
        self.feed(id, origin);
    }

    /// What is needed of a task from now on; nothing stops its stream. Says whether anybody told
    /// where the task comes from.
    pub fn need(&self, id: TaskId, need: Need) -> bool {
        let feed = lock(&self.inner.feeds).get(&id).map(Arc::clone);
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
        let feed = lock(&self.inner.feeds).get(&live.id()).map(Arc::clone);
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
            tokio::spawn(run(Arc::clone(&self.inner), Arc::clone(feed)));
        }
    }

    /// Stops a task's stream and lets go of its connection; its origins are remembered.
    pub async fn pause(&self, id: &TaskId) {
        let feed = lock(&self.inner.feeds).get(id).map(Arc::clone);
        if let Some(feed) = feed {
            feed.need.send_replace(Need::default());
            feed.open.lock().await.take();
        }
    }

    /// Where a task can be had, as far as anybody said; the latest asker last.
    #[must_use]
    pub fn origins(&self, id: &TaskId) -> Vec<Origin> {
        let feed = lock(&self.inner.feeds).get(id).map(Arc::clone);
        let askers = feed.map(|feed| lock(&feed.askers).clone()).unwrap_or_default();
        askers.into_iter().map(|asker| asker.origin).collect()
    }

    /// Forgets a task's origins and their credentials.
    pub fn forget(&self, id: &TaskId) {
        if let Some(feed) = lock(&self.inner.feeds).remove(id) {
            feed.need.send_replace(Need::default());
        }
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

/// Streams what is needed until nothing is.
async fn run(inner: Arc<Inner>, feed: Arc<Feed>) {
    loop {
        // A task that failed lacks all its bytes; it is for those who ask again to begin it again.
        let over = feed.has_failed() && inner.engine.live(&feed.id).is_none();
        if over || !inner.is_present(&feed) {
            *lock(&feed.running) = false;
            return;
        }
        // Looked up anew each time: a task that failed may have begun again.
        let live = match inner.task_of(&feed).await {
            Ok(live) => live,
            Err(failure) => {
                *lock(&feed.running) = false;
                failed(&inner, &feed, failure);
                return;
            }
        };
        feed.follow(&live);
        let streamed = stream(&inner, &feed, &live).await;
        // Deciding to stop and being told of a new need must not cross.
        let mut running = lock(&feed.running);
        if let Err(failure) = streamed {
            *running = false;
            live.fail(failure);
            return;
        }
        // A task that failed lacks all its bytes; it is for those who ask again to begin it again.
        let over = live.has_failed() && !inner.engine.is_live(&feed.id);
        if over || next(&feed, &live, 0).is_none() {
            *running = false;
            return;
        }
    }
}

/// Tells of a failure, unless it is that of a former life of the task.
fn failed(inner: &Inner, feed: &Arc<Feed>, failure: Failure) {
    if inner.is_present(feed) {
        // Nobody listens only when the process ends.
        let _ = inner.events.send(FeedEvent::Failed(feed.id, failure));
    }
}

async fn stream(inner: &Inner, feed: &Feed, live: &Arc<LiveTask>) -> Result<(), Failure> {
    let layout = live.layout();
    let size = layout.piece_size().bytes();
    let mut open = feed.open.lock().await.take();
    let mut position = open.as_ref().map_or(0, |open| layout_position(&open.stream, size));
    let mut last = nowhere();
    inner.engine.hash(live, None);
    // What has come is kept while the next piece comes: neither waits for the other.
    let mut keeping = Keeping::new();
    loop {
        let waiting = next_or_linger(feed, live, position, open.is_some());
        let Some(index) = keeping.during(waiting).await? else { break };
        if live.is_over() {
            return Err(live.why_stopped().await);
        }
        if keeping.has(index) {
            keeping.all().await?;
            continue;
        }
        let start = u64::from(index) * size;
        if live.serves {
            keeping.during(live.until_room(size)).await?;
        }
        let mut reading = match open.take() {
            Some(open) if open.stream.at() == start => open,
            _ => reopen(inner, feed, start, layout.length(), &last).await?,
        };
        let taking = reading.stream.take(usize::try_from(size).unwrap_or(usize::MAX));
        let bytes = match keeping.during(taking).await? {
            Ok(bytes) => bytes,
            Err(failure) if failure.is_denial() => {
                // A credential ended on the way; another asker's may be good still.
                turn_away(inner, feed, &reading.origin);
                last = failure;
                continue;
            }
            Err(failure) => {
                keeping.all().await?;
                return Err(failure);
            }
        };
        if live.is_over() {
            return Err(live.why_stopped().await);
        }
        keeping.begin(index, keep_and_tell(inner, feed, live, index, bytes)).await?;
        position = index + 1;
        open = (position < layout.pieces()).then_some(reading);
    }
    keeping.all().await
}

async fn keep_and_tell(
    inner: &Inner,
    feed: &Feed,
    live: &Arc<LiveTask>,
    index: PieceIndex,
    bytes: Unverified,
) -> Result<PieceIndex, Failure> {
    keep(inner, live, index, bytes).await?;
    feed.has_come(index);
    // Nobody listens only when the process ends.
    let _ = inner.events.send(FeedEvent::Piece(feed.id, index));
    Ok(index)
}

/// The needed piece to read next. Of a task that is not kept, little is needed at a time: its stream
/// stays open for a moment when nothing is, for the next need begins where it is.
async fn next_or_linger(
    feed: &Feed,
    live: &LiveTask,
    position: PieceIndex,
    open: bool,
) -> Option<PieceIndex> {
    let mut needs = feed.need.subscribe();
    loop {
        needs.borrow_and_update();
        let index = next(feed, live, position);
        if index.is_some() || !open || !live.is_unkept() {
            return index;
        }
        match tokio::time::timeout(LINGER, needs.changed()).await {
            Ok(Ok(())) => {}
            _ => return None,
        }
    }
}

/// A stream of which nothing is needed stays open for so long.
const LINGER: std::time::Duration = std::time::Duration::from_secs(3);

impl Feed {
    /// A piece has come: should it go again, whoever needs it will say so.
    fn has_come(&self, index: PieceIndex) {
        self.need.send_if_modified(|need| {
            need.pieces.remove(index);
            if need.urgent == Some(index) {
                need.urgent = None;
            }
            false
        });
    }
}

/// The origin serves this asker no more: it is not asked in its name again, and what the asker was
/// granted is no longer believed.
fn turn_away(inner: &Inner, feed: &Feed, origin: &Origin) {
    let Origin::Registry(denied) = origin else {
        return;
    };
    let id = CallerId::of(&denied.caller);
    lock(&feed.askers).retain(|other| match &other.origin {
        Origin::Registry(other) => {
            other.repository != denied.repository || CallerId::of(&other.caller) != id
        }
        Origin::Url { .. } => true,
    });
    let _ = inner.events.send(FeedEvent::Denied(denied.clone()));
}

fn layout_position(stream: &OriginStream, size: u64) -> PieceIndex {
    u32::try_from(stream.at().div_ceil(size)).unwrap_or(u32::MAX)
}

/// The needed piece to read next: the urgent one, else the next in the stream's direction, else
/// the first.
fn next(feed: &Feed, live: &LiveTask, position: PieceIndex) -> Option<PieceIndex> {
    let need = feed.need.borrow();
    let missing = |index: &PieceIndex| !live.has_local(*index);
    let urgent = need.urgent.filter(missing);
    // A reader waits, but its piece is about to pass anyway: reopening would cost more.
    let near = urgent.filter(|index| !(position..position + NEAR).contains(index));
    if feed.inline.load(Ordering::Relaxed) > 0 {
        let all = live.layout().pieces();
        // What has passed without being kept is missing again, and nobody waits for it.
        let before = if live.is_unkept() { 0 } else { position.min(all) };
        return (position..all).chain(0..before).find(missing);
    }
    near.or_else(|| need.pieces.iter().filter(|index| *index >= position).find(missing))
        .or_else(|| need.pieces.iter().find(missing))
        .or(urgent)
}

/// A piece so few pieces ahead of the stream is waited for rather than asked for.
const NEAR: u32 = 8;

async fn reopen(
    inner: &Inner,
    feed: &Feed,
    start: u64,
    length: u64,
    last: &Failure,
) -> Result<Open, Failure> {
    let askers = lock(&feed.askers).clone();
    let mut failure = last.clone();
    // The latest asker's credential is the likeliest to be good still.
    for Asker { origin, request } in askers.into_iter().rev() {
        let opened = OriginStream::open(&inner.registries, &origin, start);
        match RequestId::scope(request, opened).await {
            Ok(stream) if stream.total() == length => return Ok(Open { origin, stream }),
            Ok(stream) => {
                failure = Failure::new(
                    Kind::Origin,
                    format!(
                        "the registry says {} bytes now and said {length} before",
                        stream.total()
                    ),
                );
            }
            Err(error) => {
                if error.is_denial() {
                    turn_away(inner, feed, &origin);
                }
                failure = error;
            }
        }
    }
    Err(failure)
}

async fn keep(
    inner: &Inner,
    live: &Arc<LiveTask>,
    index: PieceIndex,
    bytes: Unverified,
) -> Result<(), Failure> {
    let short = || Failure::new(Kind::Origin, "the registry sent fewer bytes than it announced");
    match &inner.belief {
        Belief::Attest(attestor) => {
            if live.book().digest(index).is_some() {
                // It was said before what the origin sends: that stands.
                let piece = live.book().verify(index, bytes)?;
                return patiently(live, || live.put(piece.clone(), Source::Origin)).await;
            }
            let (piece, digest) =
                attestor.attest(live.id(), live.layout(), index, bytes).ok_or_else(short)?;
            let said = Said {
                task: live.id(),
                layout: live.layout(),
                whole: false,
                media_type: live.stored().media_type(),
                first: index,
                digests: vec![digest],
            };
            let (_, signed) = Statement::sign(said, attestor.signer());
            live.learn_signed(signed, &inner.engine.verifier())?;
            patiently(live, || live.put(piece.clone(), Source::Origin)).await
        }
        // A supernode signed this piece's digest before it went away: no need to wait for the whole.
        Belief::Provisional if live.book().digest(index).is_some() => {
            let piece = live.book().verify(index, bytes)?;
            patiently(live, || live.put(piece.clone(), Source::Origin)).await
        }
        Belief::Provisional => {
            let piece =
                Provisional::new(live.id(), live.layout(), index, bytes).ok_or_else(short)?;
            patiently(live, || live.put_provisional(piece.clone(), Source::Origin)).await
        }
    }
}

/// Puts a piece. One for which there is no room in memory now waits until its readers are further.
async fn patiently<F>(live: &Arc<LiveTask>, put: impl Fn() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), store::PutError>>,
{
    let mut changes = live.changes();
    loop {
        changes.borrow_and_update();
        let Err(error) = put().await else {
            return Ok(());
        };
        if !live.is_unkept() || live.is_over() || live.want().is_none() {
            return Err(Failure::new(Kind::Other, error.to_string()));
        }
        let _ = tokio::time::timeout(LINGER, changes.changed()).await;
    }
}
