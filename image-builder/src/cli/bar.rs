//! A bar on the terminal while something goes on.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::convert::Progress;

/// Does `work` with a bar beside it, if there is a terminal and nobody wants it quiet.
pub(super) fn beside<T>(progress: &Progress, quiet: bool, work: impl FnOnce() -> T) -> T {
    // Without a terminal, indicatif draws nothing by itself.
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    if bar.is_hidden() {
        return work();
    }
    let form = "{bar:40} {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec} {msg}";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
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
