//! How a process comes to a chunk cache.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::node::{Node, is_in_use};

/// A process whose last mount is gone, or that was killed, holds the cache for so long at most.
const ENDING: Duration = Duration::from_secs(5);

/// How often it is seen whether the cache is free.
const LOOK: Duration = Duration::from_millis(20);

/// Makes a node, and waits a little for one that is about to end. `None` if `instead` says so while
/// another process has the cache.
///
/// # Errors
/// If the cache cannot be used, or another process goes on using it; those of `instead`.
pub(super) fn claim(
    folder: &Path,
    make: impl Fn() -> anyhow::Result<Node>,
    instead: impl Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<Option<Node>> {
    let begun = Instant::now();
    loop {
        match make() {
            Err(error) if is_in_use(&error) => {
                if instead()? {
                    return Ok(None);
                }
                if begun.elapsed() > ENDING {
                    let folder = folder.display();
                    let remedy =
                        format!("`nydusd ls --cache-dir {folder}` says what it has mounted");
                    return Err(error.context(remedy));
                }
                std::thread::sleep(LOOK);
            }
            done => return done.map(Some),
        }
    }
}
