//! Who reads an origin first: while it sends something more urgent, others wait before they read on.
//!
//! Each task has a stream of its own, and nothing limits how many there are. What they share is the
//! way from the origin, which is not ours to divide: it is divided alike among those who read. But
//! who does not read is sent no more than fits into buffers. So a stream waits before its next piece
//! while another one of the same registry has something more urgent under way. `order` is the rule.
//!
//! No stream waits for ever: each reads a piece now and then, so that neither its registry nor its
//! client gives it up, and what is urgent and does not come holds nobody up for long.

mod order;

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::Instant;
use wire::control::Priority;

use self::order::{Order, PATIENCE};
use super::Need;
use crate::lock::lock;

/// The streams that read now. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Precedence {
    order: Arc<Mutex<Order>>,
    /// Told whenever somebody may have to wait no more.
    eased: watch::Sender<()>,
}

impl Precedence {
    /// A stream begins to read from the registry or server `host`.
    pub(super) fn join(&self, host: &str) -> Place {
        Place { among: self.clone(), number: lock(&self.order).join(host.to_owned()) }
    }
}

/// A stream's place among others, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    among: Precedence,
    number: u64,
}

impl Place {
    /// Waits until the stream may read a piece. How urgent that is may change meanwhile.
    pub(super) async fn turn(
        &self,
        mut needs: watch::Receiver<Need>,
        urgency: impl Fn() -> Priority,
    ) {
        let mut eased = self.among.eased.subscribe();
        let deadline = Instant::now() + PATIENCE;
        loop {
            needs.borrow_and_update();
            eased.borrow_and_update();
            let now = Instant::now();
            let until = self.wants(urgency(), now).filter(|_| now < deadline);
            let Some(until) = until else { return };
            // Whatever happens, it is looked again.
            let _ = tokio::time::timeout_at(until.min(deadline), async {
                tokio::select! {
                    _ = eased.changed() => {}
                    _ = needs.changed() => {}
                }
            })
            .await;
        }
    }

    /// Notes what the stream is about to read; until when it has to wait, if it has to.
    fn wants(&self, priority: Priority, now: Instant) -> Option<Instant> {
        let mut order = lock(&self.among.order);
        let eased = order.wants(self.number, priority, now);
        let until = order.waits(self.number, now);
        drop(order);
        if eased {
            self.among.eased.send_replace(());
        }
        until
    }

    /// Nothing is needed for the moment: nobody waits for this stream.
    pub(super) fn rest(&self) {
        lock(&self.among.order).rest(self.number, Instant::now());
        self.among.eased.send_replace(());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.among.order).leave(self.number, Instant::now());
        self.among.eased.send_replace(());
    }
}

#[cfg(test)]
mod tests;
