//! A bar on the terminal while something goes on.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::ProgressBar;

use super::progress;
use crate::convert::Progress;

/// Does `work` with a bar beside it, if there is a terminal and nobody wants it quiet.
pub(super) fn beside<T>(progress: &Progress, quiet: bool, work: impl FnOnce() -> T) -> T {
    let bar = if quiet { ProgressBar::hidden() } else { progress::bytes("converting", 0) };
    if bar.is_hidden() {
        return work();
    }
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let bar = &bar;
        scope.spawn(move || {
            let tick = Duration::from_millis(100);
            while ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                bar.set_length(progress.total());
                bar.set_position(progress.read());
                if progress.total() > 0 && progress.read() >= progress.total() {
                    bar.set_message("writing");
                }
            }
            bar.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}
