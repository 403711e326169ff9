//! What a task is, learned from the origin itself; the answer's stream is kept to be read on.

use std::sync::Arc;

use content::{Layout, TaskId};
use registry::RequestId;
use wire::request::Kind;

use super::task::{Asker, Feed, Open};
use super::{Feeds, Inner};
use crate::access::CallerId;
use crate::failure::Failure;
use crate::live::LiveTask;
use crate::lock::lock;
use crate::origin::{Origin, OriginStream};

impl Feeds {
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
}

impl Inner {
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
    pub(super) async fn task_of(&self, feed: &Arc<Feed>) -> Result<Arc<LiveTask>, Failure> {
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

pub(super) fn nowhere() -> Failure {
    Failure::new(Kind::Origin, "nobody said where the task comes from")
}
