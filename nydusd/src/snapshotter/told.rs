//! The daemon's answers as JSON, in the shapes that nydus-snapshotter reads.
//!
//! The names are nydusd's. Only reads are counted: of other calls the kernel answers most itself, and
//! their numbers are zero.

use std::collections::BTreeMap;
use std::time::SystemTime;

use lazy::ChunkStats;
use serde_json::{Value, json};

use super::config::Backend;
use super::daemon::{Daemon, Used};
use super::mounting::Mount;
use crate::fuse::traffic::Waiting;
use crate::version;

/// Who the daemon is, and in which state.
#[must_use]
pub fn daemon(daemon: &Daemon) -> Value {
    let mut told = daemon_v2(daemon);
    if let Some(told) = told.as_object_mut() {
        told.insert("backend_collection".to_owned(), daemon.with_mounts(backends));
    }
    told
}

/// The same, without the mounts.
#[must_use]
pub fn daemon_v2(daemon: &Daemon) -> Value {
    let options = daemon.options();
    json!({
        "version": version::told(),
        "id": options.id,
        "supervisor": options.supervisor,
        "state": daemon.state(),
    })
}

/// Who has the blobs of each mount, without what proves who we are.
fn backends(mounts: &BTreeMap<String, Mount>) -> Value {
    mounts.iter().map(|(id, mount)| (id.clone(), backend(id, mount))).collect()
}

fn backend(id: &str, mount: &Mount) -> Value {
    let (kind, config) = match &mount.config.backend {
        Backend::Registry(registry) => {
            let scheme = if registry.plain_http { "http" } else { "https" };
            let (host, repo) = (registry.repository.registry(), registry.repository.name());
            ("registry", json!({ "scheme": scheme, "host": host, "repo": repo }))
        }
        Backend::Files(files) => ("localfs", json!({ "at": format!("{files:?}") })),
    };
    json!({
        "backend_type": kind,
        "mountpoint": id,
        "mounted_time": humantime::format_rfc3339_seconds(mount.since).to_string(),
        "config": config,
    })
}

/// Reads are the fifth of the calls that nydusd counts.
const READ: usize = 4;

/// The number of a read among the kernel's questions (`linux/fuse.h`).
const FUSE_READ: u32 = 15;

/// Reads of a mount.
#[must_use]
pub fn reads(Used { id, reads, .. }: &Used) -> Value {
    let calls = |reads: u64| {
        let mut calls = [0; 15];
        calls[READ] = reads;
        calls
    };
    json!({
        "files_account_enabled": false,
        "access_pattern_enabled": false,
        "record_latest_read_files_enabled": false,
        "measure_latency": true,
        "id": id,
        "nr_opens": 0,
        "data_read": reads.bytes,
        "block_count_read": reads.sizes,
        "fop_hits": calls(reads.reads),
        "fop_errors": calls(reads.errors),
        "fop_cumulative_latency_total": calls(reads.micros),
        "read_latency_dist": reads.latencies,
    })
}

/// The reads that wait, if any do.
#[must_use]
pub fn inflight(waiting: &[(u64, Waiting)]) -> Option<Value> {
    let told = |(unique, waiting): &(u64, Waiting)| {
        let since = waiting.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({
            "inode": waiting.of,
            "opcode": FUSE_READ,
            "unique": unique,
            "timestamp_secs": since.as_secs(),
        })
    };
    (!waiting.is_empty()).then(|| waiting.iter().map(told).collect())
}

/// The chunk cache, as far as a mount uses it.
#[must_use]
pub fn cache(Used { id, cache, blobs, .. }: &Used) -> Value {
    let files: Vec<_> = blobs.iter().map(|(key, _)| key.to_string()).collect();
    let sum =
        |number: fn(&ChunkStats) -> u64| blobs.iter().map(|(_, blob)| number(blob)).sum::<u64>();
    json!({
        "id": id,
        "underlying_files": files,
        "store_path": cache,
        "partial_hits": 0,
        "whole_hits": sum(|blob| blob.recovered),
        "total": sum(|blob| blob.recovered.saturating_add(blob.fetched)),
        "entries_count": sum(|blob| blob.recovered.saturating_add(blob.fetched)),
        "prefetch_data_amount": 0,
        "prefetch_requests_count": 0,
        "prefetch_workers": 0,
        "prefetch_unmerged_chunks": 0,
        "prefetch_cumulative_time_millis": 0,
        "prefetch_begin_time_secs": 0,
        "prefetch_begin_time_millis": 0,
        "prefetch_end_time_secs": 0,
        "prefetch_end_time_millis": 0,
        "buffered_backend_size": 0,
        "data_all_ready": false,
    })
}

/// What was fetched for a mount, from whoever had it.
#[must_use]
pub fn registry(Used { id, blobs, .. }: &Used) -> Value {
    let sum =
        |number: fn(&ChunkStats) -> u64| blobs.iter().map(|(_, blob)| number(blob)).sum::<u64>();
    let (eight, table) = ([0_u64; 8], [[0_u64; 8]; 8]);
    json!({
        "id": id,
        "backend_type": "registry",
        "read_count": sum(|blob| blob.fetched),
        "read_errors": 0,
        "read_amount_total": sum(|blob| blob.fetched_bytes),
        "read_cumulative_latency_millis_total": 0,
        "read_cumulative_latency_millis_dist": eight,
        "read_count_block_size_dist": eight,
        "read_latency_sizes_dist": table,
    })
}
