//! The daemon's answers as JSON, in the shapes that nydus-snapshotter reads.
//!
//! The names are nydusd's. What is counted is what the kernel asks: most calls it answers itself. By
//! EROFS it asks for missing pages only, and all but the numbers of reads are zero.
//!
//! - [`files`]: which files were read;
//! - `prefetch`: what was fetched before;
//! - [`superblock`]: what the metadata says of itself;
//! - [`events`]: what went wrong.

pub mod events;
pub mod files;
mod prefetch;
pub mod superblock;

use std::collections::BTreeMap;
use std::time::SystemTime;

use lazy::ChunkStats;
use serde_json::{Value, json};

use super::config::Backend;
use super::daemon::{Daemon, Used};
use super::mounting::Mount;
use crate::fuse::calls::{Call, KINDS};
use crate::fuse::files::Files;
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

/// The number of a read among the kernel's questions (`linux/fuse.h`).
const FUSE_READ: u32 = 15;

/// Numbers by the kind of call.
fn calls(of: &[(Call, u64)]) -> [u64; KINDS] {
    let mut calls = [0; KINDS];
    for (call, more) in of {
        if let Some(number) = calls.get_mut(*call as usize) {
            *number = more.saturating_add(*number);
        }
    }
    calls
}

/// The sum of some.
fn number(of: impl IntoIterator<Item = u64>) -> u64 {
    of.into_iter().fold(0, u64::saturating_add)
}

/// Calls of a mount, and its reads. How long others than reads take nobody measures.
#[must_use]
pub fn reads(Used { id, reads, traffic, .. }: &Used) -> Value {
    let counting = traffic.as_ref().and_then(|traffic| traffic.files().map(Files::counting));
    let counting = counting.unwrap_or_default();
    // Reads that came as far as chunks are counted there, the others among the calls.
    let with = |all: [u64; KINDS], call: Call, more: u64| {
        let more = calls(&[(call, more)]);
        all.iter().zip(more).map(|(all, more)| all.saturating_add(more)).collect::<Vec<_>>()
    };
    json!({
        "files_account_enabled": counting.files,
        "access_pattern_enabled": counting.pattern,
        "record_latest_read_files_enabled": counting.latest,
        "measure_latency": true,
        "id": id,
        "nr_opens": reads.calls.open,
        "data_read": reads.bytes,
        "block_count_read": reads.sizes,
        "fop_hits": with(reads.calls.hits, Call::Read, reads.reads),
        "fop_errors": with(reads.calls.errors, Call::Read, reads.errors),
        "fop_cumulative_latency_total": calls(&[(Call::Read, reads.micros)]),
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
pub fn cache(Used { id, cache, blobs, prefetch, .. }: &Used) -> Value {
    let files: Vec<_> = blobs.iter().map(|(key, _)| key.to_string()).collect();
    let sum =
        |number: fn(&ChunkStats) -> u64| blobs.iter().map(|(_, blob)| number(blob)).sum::<u64>();
    let mut told = json!({
        "id": id,
        "underlying_files": files,
        "store_path": cache,
        "partial_hits": 0,
        "whole_hits": sum(|blob| blob.recovered),
        "total": sum(|blob| blob.recovered.saturating_add(blob.fetched)),
        "entries_count": sum(|blob| blob.recovered.saturating_add(blob.fetched)),
        "buffered_backend_size": 0,
        "data_all_ready": false,
    });
    if let Some(told) = told.as_object_mut() {
        told.extend(prefetch::members(prefetch.as_ref()));
    }
    told
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
