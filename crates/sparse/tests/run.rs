//! What runs of blocks promise.
#![allow(missing_docs, clippy::unwrap_used)] // tests

use std::fs;

use sparse::{SparseError, SparseFile, State};

const BLOCK: u32 = 4096;

fn bytes(version: u8, length: usize) -> Vec<u8> {
    (0..=250_u8).map(|at| at.wrapping_mul(version)).cycle().take(length).collect()
}

#[test]
fn a_run_comes_and_goes_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = SparseFile::create(&path, 100 * 4096, BLOCK).unwrap();
    let chunk = bytes(3, 9 * 4096 + 77);
    assert_eq!(file.blocks_of(5 * 4096, chunk.len() as u64), Some(5..15));
    assert!(file.write_run(5, &chunk).unwrap());
    assert!(!file.write_run(5, &chunk).unwrap(), "present bytes are left alone");
    assert_eq!(file.run_state(5..15), State::Present);
    assert_eq!(file.run_state(5..16), State::Absent);
    let mut part = vec![0; 5000];
    assert!(file.read_at(5 * 4096 + 30_000, &mut part).unwrap());
    assert_eq!(part, chunk[30_000..35_000]);
    drop(file);

    let file = SparseFile::open(&path).unwrap();
    assert_eq!(file.run_state(5..15), State::Recorded);
    assert!(!file.read_at(5 * 4096, &mut part).unwrap(), "a claim is not read as truth");
    let read = file.read_run(5 * 4096, chunk.len()).unwrap();
    assert_eq!(read, Some((State::Recorded, chunk.clone())));
    assert_eq!(file.read_run(5 * 4096, chunk.len() + 5000).unwrap(), None);
    file.confirm_run(5..15);
    assert_eq!((file.run_state(5..15), file.held()), (State::Present, 10 * 4096));
    file.drop_run(5..15).unwrap();
    assert_eq!((file.run_state(5..6), file.held()), (State::Absent, 0));
    assert_eq!(fs::read(file.path()).unwrap(), vec![0; 100 * 4096], "its space was given back");
    drop(file);
    assert_eq!(SparseFile::open(&path).unwrap().run_state(5..15), State::Absent);
}

#[test]
fn what_stood_there_before_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    drop(SparseFile::create(&path, 8 * 4096, BLOCK).map(|file| file.write_run(0, &[7; 8 * 4096])));
    let file = SparseFile::open(&path).unwrap();
    assert!(file.write_run(1, &bytes(5, 4097)).unwrap());
    assert_eq!(file.run_state(1..3), State::Present);
    assert_eq!((file.state(0), file.state(3)), (State::Recorded, State::Recorded));
    let mut tail = vec![1; 4095];
    assert!(file.read_at(2 * 4096 + 1, &mut tail).unwrap());
    assert_eq!(tail, vec![0; 4095], "behind its end there are zeros");
}

#[test]
fn what_only_fills_holes_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = SparseFile::create(&path, 8 * 4096, BLOCK).unwrap();
    assert!(file.fill_run(0, &bytes(3, 5000)).unwrap());
    assert!(file.fill_run(0, &bytes(3, 5000)).unwrap(), "the same are there");
    assert!(!file.fill_run(1, &bytes(4, 4096)).unwrap(), "others are there");
    assert!(file.fill_run(2, &bytes(5, 3 * 4096)).unwrap());
    assert_eq!((file.run_state(0..5), file.held()), (State::Present, 5 * 4096));
    assert!(matches!(file.fill_run(8, &[1]), Err(SparseError::NoSuchBlock { .. })));
    let all = fs::read(file.path()).unwrap();
    drop(file);

    // The map has lost two bits.
    let mut map = fs::read(path.with_extension("map")).unwrap();
    map[24] &= !0b1001;
    fs::write(path.with_extension("map"), map).unwrap();
    let file = SparseFile::open_untouched(&path).unwrap();
    assert!(!file.fill_run(0, &bytes(4, 4096)).unwrap());
    assert!(!file.fill_run(3, &bytes(4, 2 * 4096)).unwrap());
    assert_eq!((file.state(0), file.state(3)), (State::Absent, State::Absent));
    assert!(file.fill_run(2, &bytes(5, 3 * 4096)).unwrap());
    assert_eq!(file.run_state(2..5), State::Present);
    assert!(fs::read(file.path()).unwrap() == all);
}

#[test]
fn a_run_outside_of_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = SparseFile::create(&folder.path().join("x"), 5000, BLOCK).unwrap();
    for (first, length) in [(0, 5001), (1, 905), (2, 1), (0, 0), (u32::MAX, 1)] {
        let refused = file.write_run(first, &vec![1; length]);
        assert!(matches!(refused, Err(SparseError::NoSuchBlock { .. })), "{first} {length}");
    }
    assert_eq!(file.blocks_of(u64::MAX, 2), None);
    file.drop_run(0..9).unwrap();
    file.confirm_run(7..9);
    assert_eq!(file.run_state(7..9), State::Absent);
}

/// Writers of overlapping runs, droppers and readers: whoever reads sees one run's bytes.
#[test]
fn readers_never_see_a_hole_or_a_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let file = SparseFile::create(&folder.path().join("x"), 64 * 4096, BLOCK).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (file, done) = (&file, &done);
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..2000 {
                    file.write_run(3, &[9; 20 * 4096]).unwrap();
                    file.drop_run(3..23).unwrap();
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        }
        scope.spawn(move || {
            let mut bytes = vec![0; 20 * 4096];
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                if file.read_at(3 * 4096, &mut bytes).unwrap() {
                    assert!(bytes.iter().all(|byte| *byte == 9));
                }
                if let Some((_, bytes)) = file.read_run(3 * 4096, 20 * 4096).unwrap() {
                    assert!(bytes.iter().all(|byte| *byte == 9));
                }
            }
        });
    });
}
