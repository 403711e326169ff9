//! What processes use, by the operating system's word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

/// CPU seconds that a process and its living descendants have used so far, user and system. The
/// kernel tells them in hundredths of a second: measure over more than one second.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let all: Vec<_> = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read)
        .collect();
    let mut family = vec![process];
    let mut ticks = 0;
    while let Some(id) = family.pop() {
        let stat = all.iter().find(|stat| stat.id == id);
        ticks += stat.with_context(|| format!("there is no process {id}"))?.ticks;
        family.extend(all.iter().filter(|stat| stat.parent == id).map(|stat| stat.id));
    }
    #[expect(clippy::cast_precision_loss, reason = "ticks of a run are few")]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

struct Stat {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name may hold spaces and parentheses; what follows the last one does not.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let parent = u32::try_from(number(1)?).ok()?;
        Some(Self { id, parent, ticks: number(11)? + number(12)? })
    }
}

/// Watches the anonymous memory of a process.
#[derive(Debug)]
pub struct PeakMemory {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

/// The kernel keeps no peak of anonymous memory alone, so it is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl PeakMemory {
    /// Begins to watch `process`.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&peak), Arc::clone(&stop));
        let watcher = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(anonymous(process).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { peak, stop, watcher: Some(watcher) }
    }

    /// The most that was seen, in MiB.
    #[must_use]
    pub fn mib(mut self) -> f64 {
        self.end();
        #[expect(clippy::cast_precision_loss, reason = "kibibytes of a process are few")]
        let kib = self.peak.load(Ordering::Relaxed) as f64;
        kib / 1024.0
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

impl Drop for PeakMemory {
    fn drop(&mut self) {
        self.end();
    }
}

/// KiB of memory that no file stands behind.
fn anonymous(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_is_seen() {
        let (id, before) = (std::process::id(), std::time::Instant::now());
        let used = cpu_seconds(id).expect("told");
        let peak = PeakMemory::of(id);
        let mut memory = vec![1_u8; 64 << 20];
        while before.elapsed() < Duration::from_millis(300) {
            memory[0] = memory.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        }
        assert!(peak.mib() >= 64.0);
        assert!(cpu_seconds(id).expect("told") > used);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
