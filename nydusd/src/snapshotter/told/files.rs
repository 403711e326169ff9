//! Which files were read, in nydusd's shapes. What nobody wanted counted is an empty list.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{calls, number};
use crate::fuse::calls::Call;
use crate::fuse::files::{FileReads, Files};
use crate::fuse::traffic::Traffic;

/// Reads of each file, by its number.
#[must_use]
pub fn files(traffic: Option<&Traffic>) -> Value {
    let files = counted(traffic).filter(|files| files.counting().files);
    let all = files.map(Files::all).unwrap_or_default();
    all.iter().map(|(file, reads)| (file.to_string(), one(reads))).collect::<Map<_, _>>().into()
}

/// The opens of a file are not counted: the kernel opens most files without asking.
fn one(reads: &FileReads) -> Value {
    json!({
        "nr_open": 0,
        "nr_max_open": 0,
        "total_fops": reads.reads.saturating_add(reads.errors),
        "data_read": reads.bytes,
        "block_count_read": reads.sizes,
        "fop_hits": calls(&[(Call::Read, reads.reads)]),
        "fop_errors": calls(&[(Call::Read, reads.errors)]),
    })
}

/// The numbers of the files that were read since this was asked last: first and last of each row.
#[must_use]
pub fn latest(traffic: Option<&Traffic>) -> Value {
    json!(counted(traffic).map(Files::latest).unwrap_or_default())
}

/// Which files were read, how often, and when first.
#[must_use]
pub fn pattern(traffic: Option<&Traffic>) -> Value {
    let files = counted(traffic).filter(|files| files.counting().pattern);
    let all = files.map(Files::all).unwrap_or_default();
    let told = |(file, reads): &(u64, FileReads)| {
        let first = reads.first.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({
            "ino": file,
            "nr_read": number([reads.reads, reads.errors]),
            "first_access_time_secs": first.as_secs(),
            "first_access_time_nanos": first.subsec_nanos(),
        })
    };
    all.iter().map(told).collect()
}

fn counted(traffic: Option<&Traffic>) -> Option<&Files> {
    traffic.and_then(Traffic::files)
}
