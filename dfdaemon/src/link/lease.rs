//! Leases: runs of pieces that the supernode tells us to take from somebody.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use content::{PieceSet, Run, TaskId};
use peer::fetch::{Ask, Fetched, fetch_run};
use peer::limits::Limiter;
use peer::{Engine, LiveTask};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use transport::{Connection, Endpoint, Expect};
use wire::control::{Ended, Lease, Outcome};
use wire::data::KnownPeer;

use super::session::map;

/// Transfers under way.
#[derive(Debug)]
pub(super) struct Transfers {
    engine: Engine,
    endpoint: Arc<OnceLock<Endpoint>>,
    download: Arc<Limiter>,
    done: mpsc::UnboundedSender<Running>,
    running: HashMap<u64, CancellationToken>,
    supernode: Option<Connection>,
    session: u64,
}

/// A transfer that has ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) task: TaskId,
    lease: u64,
    session: u64,
    fetched: Fetched,
}

impl Transfers {
    pub(super) fn new(
        engine: Engine,
        endpoint: Arc<OnceLock<Endpoint>>,
        download: Arc<Limiter>,
        done: mpsc::UnboundedSender<Running>,
    ) -> Self {
        Self {
            engine,
            endpoint,
            download,
            done,
            running: HashMap::new(),
            supernode: None,
            session: 0,
        }
    }

    /// A new conversation: earlier leases' numbers mean nothing to this supernode.
    pub(super) fn supernode(&mut self, connection: Connection) {
        self.supernode = Some(connection);
        self.session += 1;
        self.running.clear();
    }

    /// Begins a lease; its end, if it cannot even begin.
    pub(super) fn begin(&mut self, lease: Lease) -> Option<Ended> {
        let number = lease.lease;
        let Some((live, run)) = self.understand(&lease) else {
            return Some(Ended {
                lease: number,
                outcome: Outcome::Receiver.into(),
                ..Ended::default()
            });
        };
        if !lease.parent.is_empty() {
            let peer = KnownPeer { name: lease.parent.clone(), address: lease.address.clone() };
            self.engine.saw_peer(live.id(), peer);
        }
        let cancel = CancellationToken::new();
        self.running.insert(number, cancel.clone());
        let transfer = Transfer {
            live,
            run,
            lease,
            endpoint: Arc::clone(&self.endpoint),
            supernode: self.supernode.clone(),
            download: Arc::clone(&self.download),
            engine: self.engine.clone(),
        };
        let (done, session) = (self.done.clone(), self.session);
        tokio::spawn(async move {
            let running = Running {
                task: transfer.live.id(),
                lease: number,
                session,
                fetched: transfer.run(cancel).await,
            };
            // Nobody listens only when the process ends.
            let _ = done.send(running);
        });
        None
    }

    fn understand(&self, lease: &Lease) -> Option<(Arc<LiveTask>, Run)> {
        let task = wire::task(&lease.task).ok()?;
        let run = wire::run(lease.first, lease.end).ok()?;
        let live = self.engine.live(&task)?;
        for statement in &lease.statements {
            let learned = live.learn_signed(statement.clone().into(), &self.engine.verifier());
            if let Err(error) = learned {
                tracing::warn!(%task, %error, "a lease came with a statement that is of no use");
                return None;
            }
        }
        Some((live, run))
    }

    /// Stops a lease's transfer; what has come stays.
    pub(super) fn cancel(&mut self, lease: u64) {
        if let Some(cancel) = self.running.remove(&lease) {
            cancel.cancel();
        }
    }

    /// A lease's end as this conversation's supernode is told of it; `None` if an earlier one gave
    /// the lease.
    pub(super) fn report(&self, running: &Running) -> Option<Ended> {
        (running.session == self.session).then(|| Ended {
            lease: running.lease,
            pieces: map(&running.fetched.pieces),
            bytes: running.fetched.bytes,
            millis: u64::try_from(running.fetched.took.as_millis()).unwrap_or(u64::MAX),
            outcome: running.fetched.outcome.into(),
        })
    }
}

/// One lease, being carried out.
struct Transfer {
    live: Arc<LiveTask>,
    run: Run,
    lease: Lease,
    endpoint: Arc<OnceLock<Endpoint>>,
    supernode: Option<Connection>,
    download: Arc<Limiter>,
    engine: Engine,
}

impl Transfer {
    async fn run(&self, cancel: CancellationToken) -> Fetched {
        let started = std::time::Instant::now();
        tokio::select! {
            fetched = self.fetch() => fetched,
            () = cancel.cancelled() => self.ended(Outcome::Receiver, started),
        }
    }

    async fn fetch(&self) -> Fetched {
        let started = std::time::Instant::now();
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(outcome) => return self.ended(outcome, started),
        };
        let ask = Ask {
            run: self.run,
            ticket: self.lease.ticket.clone().unwrap_or_default(),
            priority: self.lease.priority(),
            request_id: format!("lease-{}", self.lease.lease),
            unsigned: false,
        };
        fetch_run(&self.live, &connection, ask, &self.download, self.engine.metrics()).await
    }

    async fn connection(&self) -> Result<Connection, Outcome> {
        if self.lease.parent.is_empty() {
            return self.supernode.clone().ok_or(Outcome::Unreachable);
        }
        let expect = Expect::Node(self.lease.parent.clone());
        let endpoint = self.endpoint.get().ok_or(Outcome::Unreachable)?;
        endpoint.connect(&self.lease.address, expect).await.map_err(|error| {
            tracing::debug!(peer = %self.lease.parent, %error, "a peer is not reached");
            Outcome::Unreachable
        })
    }

    /// The end of a transfer that was cut off: what of its run is here now.
    fn ended(&self, outcome: Outcome, started: std::time::Instant) -> Fetched {
        let present = self.live.present();
        let mut pieces = PieceSet::none(self.live.layout().pieces());
        for index in self.run.iter().filter(|index| present.contains(*index)) {
            pieces.insert(index);
        }
        Fetched { pieces, bytes: 0, took: started.elapsed(), outcome }
    }
}
