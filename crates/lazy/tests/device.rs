//! A blob that is all here serves as a device: from then on no byte of its file changes.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lazy::room::Segment;
use lazy::{BlobKey, CachedBlob, ChunkCache, FetchError};
use rafs::{ChunkInfo, Digester};
use support::{bytes, chunk, verified};

const LENGTH: u64 = 8 * 4096;

fn key() -> BlobKey {
    BlobKey::Blob(content::Digest::of(b"blob"))
}

fn open(folder: &tempfile::TempDir) -> (ChunkCache, Arc<CachedBlob>) {
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    let blob = cache.blob(key(), LENGTH);
    (cache, blob)
}

/// Two chunks, with a gap between them.
fn two() -> [(ChunkInfo, Bytes); 2] {
    [(0, bytes(1, 10_000)), (4, bytes(2, 8192))].map(|(at, bytes)| (chunk(at, &bytes), bytes))
}

fn chunks() -> impl Iterator<Item = ChunkInfo> {
    two().into_iter().map(|(chunk, _)| chunk)
}

/// The file as it is, by a descriptor that is held since it served as a device.
fn right(file: &File) -> bool {
    two().into_iter().all(|(chunk, bytes)| {
        let mut found = vec![0; bytes.len()];
        file.read_exact_at(&mut found, chunk.uncompressed_offset).unwrap();
        found == bytes
    })
}

/// A blob that is whole, and a descriptor of its file.
fn whole(folder: &tempfile::TempDir) -> (ChunkCache, Arc<CachedBlob>, File) {
    let (cache, blob) = open(folder);
    let [(_, first), (_, second)] = two();
    let [(a, _), (b, _)] = two();
    blob.keep(&verified(&a, &first));
    assert!(blob.device(chunks()).is_none(), "a chunk is missing");
    blob.keep(&verified(&b, &second));
    let device = blob.device(chunks()).unwrap();
    let file = device.file().try_clone().unwrap();
    (cache, blob, file)
}

#[test]
fn it_stays_while_it_serves_and_goes_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, blob, file) = whole(&folder);
    let device = blob.device(chunks()).unwrap();
    let segment = Segment { blob: key(), number: 0 };
    blob.evict(segment);
    assert!(!blob.is_given_up() && right(&file), "it serves a mount");
    drop(device);
    blob.evict(segment);
    assert!(blob.is_given_up() && right(&file), "its bytes are there for who has it open");
    assert_eq!(cache.held(), 0);
    assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), 0);
    // The next image has a file again.
    let next = cache.blob(key(), LENGTH);
    let [(a, first), _] = two();
    next.keep(&verified(&a, &first));
    assert_eq!(cache.held(), 3 * 4096);
    assert!(right(&file));
}

#[test]
fn the_next_run_does_not_change_it_either() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, blob, file) = whole(&folder);
    drop((cache, blob));

    // An image that says other things of the blob is served, and not kept.
    let (cache, blob) = open(&folder);
    let other = bytes(3, 10_000);
    let wrong = chunk(0, &other);
    let fetched = blob.chunk(&wrong, Digester::Sha256, || Ok(verified(&wrong, &other)));
    assert_eq!(fetched.1.unwrap().bytes(), &other);
    assert!(right(&file), "it was overwritten or punched");
    drop((cache, blob));

    // Nor is it punched if nobody has the blob open.
    let (cache, blob) = open(&folder);
    assert!(blob.device(chunks()).is_none(), "nothing was verified since the start");
    drop((cache, blob));
    let small = ChunkCache::open(folder.path(), 4096).unwrap();
    small.make_room();
    assert!(right(&file) && small.held() == 0);
}

#[test]
fn another_image_s_larger_blob_takes_its_name_and_not_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, blob, file) = whole(&folder);
    drop((cache, blob));
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    let larger = cache.blob(key(), 2 * LENGTH);
    assert!(right(&file), "it was made shorter under who reads it");
    let other = bytes(3, 10_000);
    larger.keep(&verified(&chunk(0, &other), &other));
    assert!(right(&file));
    assert_eq!((cache.held(), larger.stats().unkept), (3 * 4096, 0));
    let marks = fs::read_dir(folder.path().join("blobs")).unwrap();
    assert_eq!(marks.count(), 2, "the new file has served nobody");
}

#[test]
fn a_damaged_map_does_not_change_it() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, blob, file) = whole(&folder);
    let map = blob.file().path().with_extension("map");
    drop((cache, blob));
    let mut bits = fs::read(&map).unwrap();
    bits[24] &= !0b11_0001;
    fs::write(&map, bits).unwrap();

    // What another image says lies there is not written over it.
    let (cache, blob) = open(&folder);
    assert!(right(&file), "it was punched");
    let other = bytes(3, 4096);
    blob.keep(&verified(&chunk(4, &other), &other));
    assert!(right(&file) && blob.stats().unkept == 1);
    // What lay there is kept again, and the file serves again.
    for (chunk, bytes) in two() {
        let fetched = blob.chunk(&chunk, Digester::Sha256, || Ok(verified(&chunk, &bytes)));
        assert_eq!(fetched.1.unwrap().bytes(), &bytes);
    }
    assert!(blob.device(chunks()).is_some() && right(&file));
    drop(cache);
}

#[test]
fn a_damaged_one_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, blob, file) = whole(&folder);
    let path = blob.file().path().to_owned();
    drop((cache, blob));
    File::options().write(true).open(path).unwrap().write_all_at(b"?", 5).unwrap();
    let (cache, blob) = open(&folder);
    let [(a, first), (b, second)] = two();
    let fetched = blob.chunk(&a, Digester::Sha256, || Ok(verified(&a, &first)));
    assert_eq!(fetched.1.unwrap().bytes(), &first);
    assert!(blob.is_given_up());
    let mut found = vec![0; second.len()];
    file.read_exact_at(&mut found, b.uncompressed_offset).unwrap();
    assert_eq!(found, second, "what is right stays so for who has it open");
    let lost = FetchError::Abandoned(b.digest);
    assert!(blob.chunk(&b, Digester::Sha256, || Err(lost)).1.is_err(), "it keeps nothing more");

    // The next one does, and the first takes nothing from it.
    let next = cache.blob(key(), LENGTH);
    next.keep(&verified(&a, &first));
    next.keep(&verified(&b, &second));
    blob.evict(Segment { blob: key(), number: 0 });
    assert!(next.file().path().exists() && next.device(chunks()).is_some());
    assert_eq!(cache.held(), 5 * 4096);
    assert_eq!((next.stats().damaged, next.stats().fetched), (1, 1), "it counts on");
}

#[test]
fn a_disk_that_gave_no_file_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ChunkCache::open(folder.path(), u64::MAX).unwrap();
    let map = folder.path().join(format!("blobs/{}.map", key()));
    fs::create_dir(&map).unwrap();
    let [(a, first), _] = two();
    cache.blob(key(), LENGTH).keep(&verified(&a, &first));
    assert_eq!((cache.held(), cache.stats().unkept), (0, 1));
    fs::remove_dir(&map).unwrap();
    // It is not asked for every chunk, and again before long.
    let begun = Instant::now();
    while cache.held() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(100));
        cache.blob(key(), LENGTH).keep(&verified(&a, &first));
    }
}
