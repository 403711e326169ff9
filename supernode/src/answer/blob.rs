//! What a blob is, and leave to have it.

use std::sync::Arc;

use content::{Digest, TaskId};
use peer::origin::{Origin, OriginKind, RegistryOrigin};
use peer::{End, Failure, LiveTask};
use wire::request::{Kind, Open, Opened};

use super::{Answers, Asked};

impl Answers {
    /// Tells the node `name` what a blob is, gives it a ticket, and the blob itself if it is of
    /// one piece.
    pub async fn open(&self, name: &str, request_id: &str, ask: Open) -> Opened {
        let asked = self.opened(name, ask).await;
        match asked {
            Ok(opened) => opened,
            Err(failure) => {
                tracing::info!(node = %name, request = %request_id, error = %failure, "a blob is not to be had");
                Opened { failure: Some(failure.into()), ..Opened::default() }
            }
        }
    }

    async fn opened(&self, name: &str, ask: Open) -> Result<Opened, Failure> {
        let asked = Asked::read(ask.place)?;
        let digest: Digest = ask.digest.parse().map_err(|error: content::DigestParseError| {
            Failure::new(Kind::Invalid, error.to_string())
        })?;
        let live = self.blob(&asked, digest).await?;
        let task = live.id();
        let fresh = self.access.fresh_for(&asked.repository, &digest, &asked.caller);
        let fresh_seconds = fresh.as_secs();
        if ask.only_facts {
            return Ok(Opened {
                statements: vec![
                    self.swarm.sign(&live, content::Run::EMPTY, false).remove(0).into(),
                ],
                fresh_seconds,
                ..Opened::default()
            });
        }
        self.swarm.grant(name, task);
        let inline = self.inline(&live).await?;
        let statements = self.swarm.sign(&live, live.layout().all(), is_whole(&live));
        Ok(Opened {
            failure: None,
            statements: statements.into_iter().map(Into::into).collect(),
            ticket: Some(self.swarm.ticket(task, name)),
            inline,
            fresh_seconds,
        })
    }

    /// The blob's task, once both facts of access are known. Of a blob that the cluster has not
    /// seen the origin itself is asked, which settles both.
    async fn blob(&self, asked: &Asked, digest: Digest) -> Result<Arc<LiveTask>, Failure> {
        let task = TaskId::Blob(digest);
        let origin = Origin::Registry(RegistryOrigin {
            repository: asked.repository.clone(),
            digest,
            kind: OriginKind::Blob,
            caller: asked.caller.clone(),
        });
        let known = self.known(&task);
        if known.is_some() {
            self.access.blob(&asked.repository, &digest, &asked.caller).await?;
        }
        let first = known.is_none();
        let live = self.feeds.describe(task, origin).await?;
        if first {
            self.settle(asked, digest).await?;
        }
        self.watch(&live);
        Ok(live)
    }

    /// A described task was asked of the origin in *somebody's* name; whoever asked at the same
    /// time still has to be granted it.
    async fn settle(&self, asked: &Asked, digest: Digest) -> Result<(), Failure> {
        if self.feeds.granted_to(&TaskId::Blob(digest), &asked.caller) {
            self.access.granted(&asked.repository, &digest, &asked.caller);
            return Ok(());
        }
        self.access.blob(&asked.repository, &digest, &asked.caller).await
    }

    /// A task that the cache has, or that nodes told of.
    pub(super) fn known(&self, task: &TaskId) -> Option<Arc<LiveTask>> {
        if let Some(live) = self.engine.live(task) {
            return Some(live);
        }
        let told = self.swarm.told(task);
        if told.is_empty() {
            return None;
        }
        let live = self.engine.open(&told).ok()?;
        self.watch(&live);
        Some(live)
    }

    /// Tells the scheduler of a task that has become known, and all who wait when it is whole.
    /// A task that was let go of and taken into memory again is followed again.
    pub(super) fn watch(&self, live: &Arc<LiveTask>) {
        if !live.begin_watching() {
            return;
        }
        let task = live.id();
        self.swarm.know(task, live.layout(), live.present());
        let swarm = self.swarm.clone();
        let mut end = live.end();
        tokio::spawn(async move {
            loop {
                let now = end.borrow_and_update().clone();
                match now {
                    End::Whole => return swarm.whole(task),
                    End::Failed(failure) => {
                        tracing::warn!(%task, error = %failure, "a task came to nothing");
                        return swarm.fail(task, &failure);
                    }
                    End::Open if end.changed().await.is_err() => return,
                    End::Open => {}
                }
            }
        });
    }

    /// A task of one piece comes with the answer: one request at the origin for the whole cluster,
    /// and no round trip more for the node.
    async fn inline(&self, live: &Arc<LiveTask>) -> Result<Option<Vec<u8>>, Failure> {
        let small = live.layout().pieces() <= 1;
        let elsewhere = live.present().is_empty() && self.swarm.is_held_by_nodes(&live.id());
        if !small || elsewhere {
            return Ok(None);
        }
        let bytes = self.feeds.whole(live).await.inspect_err(|failure| {
            self.swarm.fail(live.id(), failure);
        })?;
        Ok(Some(bytes.to_vec()))
    }
}

fn is_whole(live: &LiveTask) -> bool {
    matches!(*live.end().borrow(), End::Whole)
}
