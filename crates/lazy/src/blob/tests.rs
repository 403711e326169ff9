//! What happens between two steps of a read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use content::Digest;

use super::support::{bytes, chunk, verified};
use super::*;
use crate::cache::ChunkCache;

/// Another image says that other bytes lie where `chunk` does.
fn another(chunk_there: &ChunkInfo) -> VerifiedChunk {
    let other = bytes(66, chunk_there.uncompressed_size as usize);
    verified(&chunk(ledger::blocks(chunk_there).start, &other), &other)
}

#[test]
fn what_takes_a_chunk_s_place_while_it_is_read_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    let blob = cache.blob(BlobKey::Blob(Digest::of(b"blob")), 100 * 4096);
    let wanted = bytes(1, 4096);
    let read = chunk(3, &wanted);
    blob.keep(&verified(&read, &wanted));
    let mut found = [0; 4096];
    let mut tries = 0;
    let here = blob.while_known(&read, || {
        tries += 1;
        // It was known a moment ago.
        blob.evict(Segment::of(blob.key, 3));
        blob.keep(&another(&read));
        blob.file.read_at(3 * 4096, &mut found)
    });
    assert_eq!((here.unwrap(), tries, found[0]), (false, 1, 66));
}

#[test]
fn what_two_keep_at_once_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    let blob = cache.blob(BlobKey::Blob(Digest::of(b"blob")), 100 * 4096);
    let wanted = bytes(1, 10_000);
    let kept = chunk(3, &wanted);
    // Another has written it, and not yet said so.
    assert!(lock(&blob.ledger).reserve(&kept) && blob.write(&verified(&kept, &wanted)));
    blob.keep(&verified(&kept, &wanted));
    lock(&blob.ledger).settle(&kept);
    assert_eq!(blob.standing(&kept), Standing::Verified);
    // What nobody has entered, and is something else, goes.
    let other = bytes(66, 4096);
    blob.file.write_run(50, &other).unwrap();
    blob.keep(&verified(&chunk(50, &bytes(1, 4096)), &bytes(1, 4096)));
    assert_eq!(blob.file.run_state(50..51), State::Absent);
}
