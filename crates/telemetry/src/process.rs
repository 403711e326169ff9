//! What this process uses, read from `/proc/self` at each scrape.

use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self` when `/metrics` is asked for. What cannot be read is left out.
#[derive(Debug)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut show = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            let described = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(described)
        };
        if let Some(seconds) = cpu_seconds() {
            let help = "CPU time used, user and system, in seconds";
            show("process_cpu_seconds", help, &ConstCounter::new(seconds))?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(bytes) = memory(&status, "VmRSS:") {
            let help = "Memory in RAM, mapped files included, in bytes";
            show("process_resident_memory_bytes", help, &ConstGauge::new(bytes))?;
        }
        if let Some(bytes) = memory(&status, "RssAnon:") {
            let help = "Memory in RAM that no file backs, in bytes";
            show("process_anonymous_memory_bytes", help, &ConstGauge::new(bytes))?;
        }
        if let Some(count) = open_files() {
            show("process_open_fds", "Open file descriptors", &ConstGauge::new(count))?;
        }
        Ok(())
    }
}

/// User and system time of `/proc/self/stat`.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    let used = Duration::from_millis(ticks(&stat)?.saturating_mul(1000) / a_second);
    Some(used.as_secs_f64())
}

/// Fields 14 and 15 of `proc(5)`'s stat. The name, field 2, may hold anything, but ends at the
/// last closing parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

/// A line of `/proc/self/status` in kB, as bytes.
fn memory(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The open descriptors, less the one that reads the folder.
fn open_files() -> Option<i64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(open.saturating_sub(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_name_does_not_move_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 30 12 13 14";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn a_torn_line_is_left_out() {
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(memory("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * 1024));
        assert_eq!(memory("VmRSS:\t  x kB\n", "VmRSS:"), None);
    }
}
