//! A cache of little room: what was not used for longest goes, and nothing else is lost.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod support;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lazy::parts::Part;
use lazy::{BlobKey, CachedBlob, ChunkCache};
use rafs::{ChunkInfo, Digester};
use support::{bytes, chunk, verified};

const SEGMENT: u64 = 32 << 20;
/// How many blocks a segment has.
const BLOCKS: u64 = SEGMENT / 4096;
const CHUNK: usize = 1 << 20;

fn key(name: &[u8]) -> BlobKey {
    BlobKey::Blob(content::Digest::of(name))
}

fn is_here(blob: &CachedBlob, chunk: &ChunkInfo) -> bool {
    let part = Part { chunk: *chunk, within: 0..CHUNK, into: 0..CHUNK };
    blob.read(&part, &mut vec![0; CHUNK])
}

/// A chunk in each of so many segments.
fn fill(blob: &CachedBlob, segments: std::ops::Range<u64>) -> Vec<(ChunkInfo, Bytes)> {
    segments
        .map(|segment| {
            let bytes = bytes(u8::try_from(segment).unwrap(), CHUNK);
            let chunk = chunk(segment * BLOCKS, &bytes);
            blob.keep(&verified(&chunk, &bytes));
            (chunk, bytes)
        })
        .collect()
}

/// Ticks are seconds.
fn next_tick() {
    std::thread::sleep(Duration::from_millis(1100));
}

#[test]
fn the_least_recently_used_segments_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ChunkCache::open(folder.path(), 4 << 20).unwrap();
    let blob = cache.blob(key(b"a"), 10 * SEGMENT);
    let all = fill(&blob, 0..4);
    assert_eq!(cache.held(), 4 << 20);
    cache.make_room();
    assert!(all.iter().all(|(chunk, _)| is_here(&blob, chunk)), "it is not more than it may be");
    next_tick();
    assert!(is_here(&blob, &all[1].0) && is_here(&blob, &all[3].0));
    let more = fill(&blob, 4..5);
    cache.make_room();
    let here: Vec<_> = all.iter().chain(&more).map(|(chunk, _)| is_here(&blob, chunk)).collect();
    assert_eq!(here, [false, true, false, true, true]);
    assert_eq!(cache.held(), 3 << 20);
    // What went is had again.
    let (chunk, bytes) = &all[0];
    let again = blob.chunk(chunk, Digester::Sha256, || Ok(verified(chunk, bytes))).1.unwrap();
    assert_eq!((again.bytes(), is_here(&blob, chunk)), (bytes, true));
}

#[test]
fn what_earlier_runs_left_counts_and_goes_before_what_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &[u8]| folder.path().join(format!("blobs/{}.data", key(name)));
    {
        let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
        fill(&cache.blob(key(b"old"), 4 * SEGMENT), 0..3);
        next_tick();
        fill(&cache.blob(key(b"new"), 4 * SEGMENT), 0..2);
    }
    fs::write(folder.path().join("blobs/junk.data"), "of a crash").unwrap();
    fs::write(folder.path().join("blobs/junk.map"), "no map").unwrap();
    let cache = ChunkCache::open(folder.path(), 5 << 20).unwrap();
    assert_eq!(cache.held(), 5 << 20);
    assert!(!folder.path().join("blobs/junk.data").exists());
    let blob = cache.blob(key(b"newest"), 4 * SEGMENT);
    let used = fill(&blob, 0..1);
    cache.make_room();
    assert_eq!(cache.held(), 4 << 20);
    assert!(is_here(&blob, &used[0].0) && data(b"old").exists() && data(b"new").exists());
    // Much more: the old one goes altogether.
    let more = fill(&blob, 1..4);
    cache.make_room();
    assert!(more.iter().all(|(chunk, _)| is_here(&blob, chunk)));
    assert!(!data(b"old").exists(), "a file without chunks is no more");
    assert!(cache.held() <= 5 << 20);
}

#[test]
fn what_was_only_read_in_an_earlier_run_was_used_too() {
    let folder = tempfile::tempdir().unwrap();
    let read = {
        let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
        let read = fill(&cache.blob(key(b"read"), SEGMENT), 0..1);
        fill(&cache.blob(key(b"written"), SEGMENT), 0..1);
        read
    };
    next_tick();
    {
        let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
        let blob = cache.blob(key(b"read"), SEGMENT);
        let (chunk, bytes) = &read[0];
        blob.chunk(chunk, Digester::Sha256, || Ok(verified(chunk, bytes))).1.unwrap();
        assert!(is_here(&blob, chunk) && blob.stats().recovered == 1);
    }
    let cache = ChunkCache::open(folder.path(), 3 << 19).unwrap();
    cache.make_room();
    let data = |name: &[u8]| folder.path().join(format!("blobs/{}.data", key(name)));
    assert!(data(b"read").exists() && !data(b"written").exists());
}

#[test]
fn what_holds_nothing_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = || fs::read_dir(folder.path().join("blobs")).unwrap().count();
    let length = 1 << 50;
    {
        let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
        assert!(cache.kept(key(b"asked"), length).is_none() && files() == 0);
        let blob = cache.blob(key(b"read"), length);
        assert!(Arc::ptr_eq(&cache.kept(key(b"read"), length).unwrap(), &blob));
        fill(&cache.blob(key(b"held"), length), 0..1);
        assert_eq!(files(), 4);
        assert!(blob.file().disk_usage().unwrap() <= 64 << 10);
    }
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    assert_eq!(files(), 2, "what holds nothing is removed");
    assert!(cache.kept(key(b"read"), length).is_none() && files() == 2);
    assert_eq!(cache.kept(key(b"held"), length).unwrap().stats().held, 1 << 20);
}

#[test]
fn what_serves_as_a_device_counts_and_others_go_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ChunkCache::open(folder.path(), 10 << 20).unwrap();
    let (whole, other) = (cache.blob(key(b"a"), 10 * SEGMENT), cache.blob(key(b"b"), 10 * SEGMENT));
    let all = fill(&whole, 0..4);
    let device = whole.device(all.iter().map(|(chunk, _)| *chunk)).unwrap();
    next_tick();
    fill(&other, 0..7);
    cache.make_room();
    // The kernel reads it, and nobody is told: it is the oldest, and stays.
    assert_eq!(cache.held(), 9 << 20);
    assert!(all.iter().all(|(chunk, _)| is_here(&whole, chunk)));
    next_tick();
    drop(device);
    fill(&other, 7..9);
    cache.make_room();
    assert!(!whole.is_given_up(), "it was used a moment ago");
    assert_eq!(cache.held(), 9 << 20);
}

#[test]
fn readers_get_right_bytes_while_room_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Arc::new(ChunkCache::open(folder.path(), 2 << 20).unwrap());
    let blob = cache.blob(key(b"a"), 10 * SEGMENT);
    let all: Vec<_> = (0..6_u8)
        .map(|segment| {
            let bytes = bytes(segment, CHUNK);
            (chunk(u64::from(segment) * BLOCKS, &bytes), bytes)
        })
        .collect();
    std::thread::scope(|scope| {
        for reader in 0..4_usize {
            let (all, blob, cache) = (&all, &blob, &cache);
            scope.spawn(move || {
                for round in 0..150_usize {
                    let (chunk, bytes) = &all[(round * 5 + reader) % all.len()];
                    let part = Part { chunk: *chunk, within: 0..CHUNK, into: 0..CHUNK };
                    let mut into = vec![0; CHUNK];
                    if blob.read(&part, &mut into) {
                        assert!(into == bytes[..]);
                    } else {
                        let fetched =
                            blob.chunk(chunk, Digester::Sha256, || Ok(verified(chunk, bytes)));
                        assert!(fetched.1.unwrap().bytes() == bytes);
                        cache.make_room();
                    }
                }
            });
        }
    });
    cache.make_room();
    assert!(cache.held() <= 2 << 20, "{}", cache.held());
}
