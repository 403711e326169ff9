//! One task's stream from the origin: what is needed is read in order, and kept while more comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use content::{PieceIndex, Unverified};
use registry::RequestId;
use wire::request::Kind;

use super::describe::nowhere;
use super::keep::keep;
use super::precedence::Place;
use super::task::{Asker, Feed, Open};
use super::{FeedEvent, Inner};
use crate::access::CallerId;
use crate::failure::Failure;
use crate::keeping::Keeping;
use crate::live::LiveTask;
use crate::lock::lock;
use crate::origin::{Origin, OriginStream};

/// Streams what is needed until nothing is.
pub(super) async fn run(inner: Arc<Inner>, feed: Arc<Feed>) {
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
    let place = inner.precedence.join(&feed.host());
    // What has come is kept while the next piece comes: neither waits for the other.
    let mut keeping = Keeping::new();
    loop {
        let waiting = next_in_turn(&place, feed, live, position, open.is_some());
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

/// The needed piece to read next, once nothing more urgent is read.
async fn next_in_turn(
    place: &Place,
    feed: &Feed,
    live: &LiveTask,
    position: PieceIndex,
    open: bool,
) -> Option<PieceIndex> {
    loop {
        if next(feed, live, position).is_none() {
            place.rest();
        }
        next_or_linger(feed, live, position, open).await?;
        place.turn(feed.need.subscribe(), || feed.urgency()).await;
        // While it waited, something else may have become more urgent, or all of it needless.
        let index = next(feed, live, position);
        if index.is_some() {
            return index;
        }
    }
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
const LINGER: Duration = Duration::from_secs(3);

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
