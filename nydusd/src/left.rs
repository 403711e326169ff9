//! What a process that is no more has left on a cache: told, and nothing done with it.

use std::path::Path;

use crate::mounts;
use crate::orders::Told;
use crate::records::{Fate, Record, Records};

/// What the next process on the cache in `folder` would bring back. Nobody has the cache now.
#[must_use]
pub fn left(folder: &Path) -> Vec<Told> {
    // Who only looks makes no folders.
    let there = folder.join("mounts").is_dir();
    let Some(records) = there.then(|| Records::open(folder).ok()).flatten() else {
        return Vec::new();
    };
    let tell = |record: Record| {
        let listed = mounts::is_ours_at(&record.at);
        let how = match record.fate(records.boot(), listed, true) {
            Fate::Forget => return None,
            Fate::Restore | Fate::Leave => how(&record, &records),
        };
        Some(Told::failed(record.at, record.order.image, how.to_owned()))
    };
    records.all().into_iter().filter_map(tell).collect()
}

/// Who brings it back: what stood when its process was killed, any; the rest, `nydusd serve`.
fn how(record: &Record, records: &Records) -> &'static str {
    if record.mounted && record.boot == records.boot() {
        "its process is gone: the next `nydusd serve` or `nydusd mount` on this cache brings it back"
    } else {
        "its process has ended: `nydusd serve` on this cache brings it back"
    }
}
