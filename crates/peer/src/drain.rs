//! The end of a process: pulls that go on may finish, pulls that wait in vain are ended.

use std::collections::HashMap;
use std::time::Duration;

use content::TaskId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::request::Kind;

use crate::engine::Engine;
use crate::failure::Failure;

/// Once the process is to stop, a task that gets nothing for so long is not waited for: its reader
/// may have to wait for a registry that never answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Engine {
    /// Once `stop` is cancelled, ends the tasks whose readers wait in vain; never ends by itself.
    pub async fn drain(self, stop: CancellationToken) {
        stop.cancelled().await;
        let mut seen: HashMap<TaskId, (u64, Instant)> = HashMap::new();
        loop {
            for live in self.wanted() {
                let version = *live.changes().borrow();
                let (last, since) =
                    seen.entry(live.id()).or_insert_with(|| (version, Instant::now()));
                if *last != version {
                    (*last, *since) = (version, Instant::now());
                } else if since.elapsed() >= PATIENCE {
                    self.fail(&live.id(), Failure::new(Kind::Other, "the node is stopping"), false);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
