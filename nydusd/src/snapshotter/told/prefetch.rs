//! Prefetching, in the words of nydusd's numbers of its chunk cache.

use serde_json::{Map, Value, json};

use crate::prefetch::PrefetchStats;

/// The members that are about prefetching; zeros if nothing is to be prefetched.
pub(super) fn members(stats: Option<&PrefetchStats>) -> Map<String, Value> {
    let of = |number: fn(&PrefetchStats) -> u64| stats.map_or(0, number);
    let (began, ended) = (of(|stats| stats.began), of(|stats| stats.ended.unwrap_or(0)));
    let told = json!({
        // As stored, as there.
        "prefetch_data_amount": of(|stats| stats.stored_bytes),
        "prefetch_requests_count": of(|stats| stats.requests),
        "prefetch_workers": of(|stats| stats.threads),
        "prefetch_unmerged_chunks": of(|stats| stats.single),
        "prefetch_cumulative_time_millis": of(|stats| stats.took_milliseconds),
        "prefetch_begin_time_secs": began / 1000,
        "prefetch_begin_time_millis": began % 1000,
        "prefetch_end_time_secs": ended / 1000,
        "prefetch_end_time_millis": ended % 1000,
    });
    match told {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
