//! One blob's chunk cache, and several images that say different things of it.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use lazy::Standing::{Missing, Recorded, Verified};
use lazy::flight::Whose;
use lazy::parts::Part;
use lazy::{BlobKey, CachedBlob, ChunkCache, FetchError, Urgency};
use rafs::{ChunkInfo, Digester};
use support::{bytes, chunk, verified};

const LENGTH: u64 = 100 * 4096;

fn cache(folder: &tempfile::TempDir) -> (ChunkCache, Arc<CachedBlob>) {
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    let blob = cache.blob(BlobKey::Blob(content::Digest::of(b"blob")), LENGTH);
    (cache, blob)
}

/// What a reader of all of the chunk gets without anything being fetched.
fn here(blob: &CachedBlob, chunk: &ChunkInfo) -> Option<Bytes> {
    let length = chunk.uncompressed_size as usize;
    let mut into = vec![0; length];
    let part = Part { chunk: *chunk, within: 0..length, into: 0..length };
    blob.read(&part, &mut into).then(|| into.into())
}

fn nobody(chunk: &ChunkInfo) -> FetchError {
    FetchError::Abandoned(chunk.digest)
}

fn put(blob: &CachedBlob, chunk: &ChunkInfo, bytes: &Bytes) {
    let (_, fetched) = blob.chunk(chunk, Digester::Sha256, || Ok(verified(chunk, bytes)));
    assert_eq!(fetched.unwrap().bytes(), bytes);
}

#[test]
fn what_was_fetched_is_here_and_in_the_next_run_once_it_was_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (bytes(1, 10_000), bytes(2, 4096));
    let (a, b) = (chunk(0, &one), chunk(3, &other));
    let (first, blob) = cache(&folder);
    assert_eq!(here(&blob, &a), None);
    put(&blob, &a, &one);
    put(&blob, &b, &other);
    assert_eq!((here(&blob, &a), here(&blob, &b)), (Some(one.clone()), Some(other)));
    assert!(ChunkCache::open(folder.path(), u64::MAX).is_err(), "two processes use one folder");
    let path = blob.file().path().to_owned();
    drop((first, blob));

    // One of both is damaged while nobody looks.
    fs::File::options().write(true).open(path).unwrap().write_all_at(b"?", 3 * 4096).unwrap();
    let (_second, blob) = cache(&folder);
    assert_eq!(here(&blob, &a), None, "not before it was checked");
    let found = blob.chunk(&a, Digester::Sha256, || Err(nobody(&a))).1.unwrap();
    assert_eq!((found.bytes(), here(&blob, &a)), (&one, Some(one.clone())));
    blob.chunk(&b, Digester::Sha256, || Err(nobody(&b))).1.unwrap_err();
    assert_eq!(here(&blob, &b), None);
    let stats = blob.stats();
    assert_eq!((stats.recovered, stats.damaged, stats.fetched), (1, 1, 0));
}

#[test]
fn what_one_image_says_is_nothing_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let (good, evil) = (bytes(1, 8192), bytes(66, 8192));
    // The same place, another digest; and places that overlap.
    let honest = chunk(4, &good);
    for block in [3, 4, 5] {
        let (_cache, blob) = cache(&folder);
        let lie = chunk(block, &evil);
        put(&blob, &lie, &evil);
        assert_eq!(here(&blob, &lie), Some(evil.clone()), "its own readers get what it proves");
        assert_eq!(here(&blob, &honest), None);
        put(&blob, &honest, &good);
        assert_eq!(here(&blob, &honest), None, "not kept while the other is entered");
        assert_eq!(here(&blob, &lie), Some(evil.clone()), "and the other is left alone");
        assert_eq!(blob.stats().unkept, 1);
    }
    // In the next run, what lies there is not what the honest image asks for.
    let (_cache, blob) = cache(&folder);
    put(&blob, &honest, &good);
    assert_eq!(here(&blob, &honest), Some(good));
}

#[test]
fn beyond_the_file_nothing_is_kept_and_all_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (_cache, blob) = cache(&folder);
    let far = bytes(1, 8192);
    for block in [99, 100, 1 << 30] {
        let chunk = chunk(block, &far);
        put(&blob, &chunk, &far);
        put(&blob, &chunk, &far);
        assert_eq!(here(&blob, &chunk), None, "{block}");
    }
}

#[test]
fn many_who_want_one_chunk_get_it_from_one_fetch() {
    let folder = tempfile::tempdir().unwrap();
    let (_cache, blob) = cache(&folder);
    let all = bytes(1, 5000);
    let wanted = chunk(7, &all);
    let (fetches, begun) = (AtomicUsize::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                begun.wait();
                let (_, fetched) = blob.chunk(&wanted, Digester::Sha256, || {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(200));
                    Ok(verified(&wanted, &all))
                });
                assert_eq!(fetched.unwrap().bytes(), &all);
            });
        }
    });
    assert_eq!(fetches.into_inner(), 1);
}

#[test]
fn a_failure_is_told_to_all_and_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (_cache, blob) = cache(&folder);
    let all = bytes(1, 5000);
    let wanted = chunk(7, &all);
    std::thread::scope(|scope| {
        let panics = scope.spawn(|| {
            let _ = blob.chunk(&wanted, Digester::Sha256, || {
                std::thread::sleep(std::time::Duration::from_millis(200));
                panic!("on purpose")
            });
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (_, told) = blob.chunk(&wanted, Digester::Sha256, || Err(nobody(&wanted)));
        assert!(matches!(*told.unwrap_err(), FetchError::Abandoned(_)));
        assert!(panics.join().is_err());
    });
    put(&blob, &wanted, &all);
    assert_eq!(here(&blob, &wanted), Some(all));
}

#[test]
fn what_is_claimed_is_fetched_by_one_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let (_cache, blob) = cache(&folder);
    let all = bytes(1, 5000);
    let wanted = chunk(7, &all);
    for urgency in [Urgency::Prefetch, Urgency::Blocked] {
        let claim = blob.claim(&wanted, Digester::Sha256, urgency).unwrap();
        for other in [Urgency::Prefetch, Urgency::Blocked] {
            assert!(blob.claim(&wanted, Digester::Sha256, other).is_none());
        }
        drop(claim);
    }
    let claim = blob.claim(&wanted, Digester::Sha256, Urgency::Blocked).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| blob.chunk(&wanted, Digester::Sha256, || Err(nobody(&wanted))));
        std::thread::sleep(std::time::Duration::from_millis(50));
        claim.land(verified(&wanted, &all));
        let (whose, fetched) = reader.join().unwrap();
        assert_eq!((whose, fetched.unwrap().bytes()), (Whose::Others, &all));
    });
    assert!(blob.claim(&wanted, Digester::Sha256, Urgency::Blocked).is_none(), "it is here");
    assert_eq!((here(&blob, &wanted), blob.stats().fetched), (Some(all), 1));
}

#[test]
fn a_reader_does_not_wait_long_for_what_is_prefetched() {
    let folder = tempfile::tempdir().unwrap();
    let (_cache, blob) = cache(&folder);
    let all = bytes(1, 5000);
    let wanted = chunk(7, &all);
    let claim = blob.claim(&wanted, Digester::Sha256, Urgency::Prefetch).unwrap();
    let fetch = || Ok(verified(&wanted, &all));
    let (whose, fetched) = blob.chunk(&wanted, Digester::Sha256, fetch);
    assert_eq!((whose, fetched.unwrap().bytes()), (Whose::Own, &all));
    claim.land(verified(&wanted, &all));
    assert_eq!(here(&blob, &wanted), Some(all));
}

#[test]
fn what_an_earlier_run_has_left_is_checked_for_later() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (bytes(1, 10_000), bytes(2, 4096));
    let (a, b) = (chunk(0, &one), chunk(3, &other));
    let (first, blob) = cache(&folder);
    assert_eq!((blob.standing(&a), blob.standing(&chunk(200, &one))), (Missing, Missing));
    put(&blob, &a, &one);
    put(&blob, &b, &other);
    assert_eq!(blob.standing(&a), Verified);
    let path = blob.file().path().to_owned();
    drop((first, blob));
    fs::File::options().write(true).open(path).unwrap().write_all_at(b"?", 3 * 4096).unwrap();

    let (_second, blob) = cache(&folder);
    assert_eq!((blob.standing(&a), blob.standing(&b)), (Recorded, Recorded));
    // A reader sees to it already.
    let claim = blob.claim(&chunk(50, &one), Digester::Sha256, Urgency::Blocked).unwrap();
    assert!(blob.check(claim.chunk(), Digester::Sha256));
    drop(claim);
    assert!(blob.check(&a, Digester::Sha256) && !blob.check(&b, Digester::Sha256));
    assert_eq!((blob.standing(&a), blob.standing(&b)), (Verified, Missing));
    assert_eq!((here(&blob, &a), blob.stats().fetched), (Some(one), 0));
    // What is another image's is neither right nor gone.
    let lie = chunk(0, &bytes(66, 10_000));
    assert!(!blob.check(&lie, Digester::Sha256) && blob.standing(&lie) == Recorded);
    assert_eq!(blob.standing(&a), Verified);
}
