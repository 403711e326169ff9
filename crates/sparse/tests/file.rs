//! What a sparse file promises.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)] // tests

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sparse::{SparseError, SparseFile, State};

const BLOCK: u32 = 4096;

fn bytes(block: u32, version: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u8) ^ (block as u8) ^ version.wrapping_mul(37)).collect()
}

fn reopened(path: &Path, file: SparseFile) -> SparseFile {
    drop(file);
    SparseFile::open(path).unwrap()
}

#[test]
fn a_block_lives_as_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = SparseFile::create(&path, 2 * 4096 + 10, BLOCK).unwrap();
    assert_eq!((file.blocks(), file.extent(2)), (3, Some((8192, 10))));
    assert_eq!((file.extent(3), file.state(3)), (None, State::Absent));
    let short = bytes(2, 0, 10);
    assert!(file.write(2, &short).unwrap());
    assert!(!file.write(2, &short).unwrap(), "present bytes are left alone");
    assert!(file.write_provisional(0, &bytes(0, 1, 4096)).unwrap());
    assert!(!file.write_provisional(0, &bytes(0, 2, 4096)).unwrap());
    assert!(!file.write_provisional(2, &short).unwrap());
    assert_eq!(file.held(), 4106);
    assert!(file.promote(0).unwrap() && !file.promote(0).unwrap());
    assert!(file.write_provisional(1, &bytes(1, 0, 4096)).unwrap());

    let file = reopened(&path, file);
    let states = |file: &SparseFile| [0, 1, 2].map(|block| file.state(block));
    assert_eq!(states(&file), [State::Recorded, State::Absent, State::Recorded]);
    assert_eq!(file.held(), 4106);
    let mut read = [0; 10];
    assert!(!file.read_at(8192, &mut read).unwrap(), "a claim is not read as truth");
    assert_eq!(file.read_block(2).unwrap(), Some((State::Recorded, short.clone())));
    assert!(file.confirm(2) && !file.confirm(2) && !file.confirm(1) && !file.confirm(99));
    assert!(file.read_at(8192, &mut read).unwrap());
    assert_eq!(read[..], short);
    assert!(!file.read_at(8192, &mut [0; 11]).unwrap(), "past the end");
    assert!(file.reject(0).unwrap() && !file.reject(2).unwrap());
    assert_eq!(states(&file), [State::Absent, State::Absent, State::Present]);

    file.drop_block(2).unwrap();
    let file = reopened(&path, file);
    assert_eq!((states(&file), file.held()), ([State::Absent; 3], 0));
    assert_eq!(file.read_block(2).unwrap(), None);
    assert_eq!(fs::read(file.path()).unwrap(), vec![0; 8202], "its space was given back");
}

#[test]
fn only_whole_blocks_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = SparseFile::create(&folder.path().join("x"), 5000, BLOCK).unwrap();
    for (block, length) in [(0, 4095), (0, 4097), (1, 4096), (1, 0), (2, 4096), (u32::MAX, 1)] {
        let refused = file.write(block, &vec![1; length]);
        assert!(matches!(refused, Err(SparseError::NoSuchBlock { .. })));
    }
    file.drop_block(7).unwrap();
    assert!(matches!(
        SparseFile::create(&folder.path().join("y"), 1, 0),
        Err(SparseError::Shape { .. })
    ));
}

#[test]
fn an_empty_file_has_no_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = reopened(&path, SparseFile::create(&path, 0, BLOCK).unwrap());
    assert_eq!((file.blocks(), file.held()), (0, 0));
    assert!(file.are_present(0..0) && !file.are_present(0..1));
    assert!(file.read_at(0, &mut []).unwrap());
}

#[test]
fn space_is_taken_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = SparseFile::create(&folder.path().join("x"), 64 << 20, 1 << 20).unwrap();
    assert!(file.disk_usage().unwrap() < 1 << 20);
    file.write(5, &vec![7; 1 << 20]).unwrap();
    file.data().unwrap().sync_all().unwrap();
    assert!(file.disk_usage().unwrap() >= 1 << 20);
    file.drop_block(5).unwrap();
    assert!(file.disk_usage().unwrap() < 1 << 20);
    // So is what a crash forgets.
    for block in [0, 3, 4, 63] {
        file.write_provisional(block, &vec![7; 1 << 20]).unwrap();
    }
    file.write(2, &vec![8; 1 << 20]).unwrap();
    file.data().unwrap().sync_all().unwrap();
    assert!(file.disk_usage().unwrap() >= 5 << 20);
    drop(file);
    let file = SparseFile::open(&folder.path().join("x")).unwrap();
    assert!(!file.is_open());
    assert!((1 << 20..2 << 20).contains(&file.disk_usage().unwrap()));
    assert_eq!(file.read_block(2).unwrap(), Some((State::Recorded, vec![8; 1 << 20])));
}

#[test]
fn descriptors_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = SparseFile::create(&folder.path().join("x"), 4096, BLOCK).unwrap();
    assert!(!file.is_open());
    file.write(0, &[3; 4096]).unwrap();
    assert!(file.is_open());
    file.release();
    assert!(!file.is_open());
    assert_eq!(file.read_block(0).unwrap(), Some((State::Present, vec![3; 4096])));
}

#[test]
fn a_deleted_file_never_touches_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let old = SparseFile::create(&path, 8192, BLOCK).unwrap();
    old.write(0, &[1; 4096]).unwrap();
    let sending = old.data().unwrap();
    old.delete().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let new = SparseFile::create(&path, 8192, BLOCK).unwrap();
    new.write(1, &[2; 4096]).unwrap();
    assert!(matches!(old.write(1, &[1; 4096]), Err(SparseError::Deleted { .. })));
    assert_eq!(old.read_block(0).unwrap(), None);
    assert_eq!((old.state(0), old.held()), (State::Absent, 0));
    old.drop_block(0).unwrap();
    old.delete().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reopened(&path, new).state(1), State::Recorded);
    assert_eq!(std::os::unix::fs::FileExt::read_at(&*sending, &mut [0; 9], 0).unwrap(), 9);
}

#[test]
fn who_has_a_file_open_keeps_it_when_another_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let old = SparseFile::create(&path, 8192, BLOCK).unwrap();
    old.write(0, &[1; 4096]).unwrap();
    let reading = old.data().unwrap();
    drop(old);
    // The map has lost a bit: the bytes stay.
    fs::write(path.with_extension("map"), {
        let mut map = fs::read(path.with_extension("map")).unwrap();
        map[24] = 0;
        map
    })
    .unwrap();
    let same = SparseFile::open_untouched(&path).unwrap();
    assert_eq!((same.state(0), same.held()), (State::Absent, 0));
    let right = || {
        let mut bytes = [0; 4096];
        std::os::unix::fs::FileExt::read_exact_at(&*reading, &mut bytes, 0).unwrap();
        bytes == [1; 4096]
    };
    assert!(right());
    let larger = SparseFile::create(&path, 3 * 4096, BLOCK).unwrap();
    larger.write(0, &[2; 4096]).unwrap();
    assert!(right());
}

#[test]
fn readers_never_see_a_hole_or_a_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let size = 256 * 1024;
    let file = SparseFile::create(&folder.path().join("x"), u64::from(size), size).unwrap();
    let right = vec![9; size as usize];
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    if let Some((State::Present, bytes)) = file.read_block(0).unwrap() {
                        assert!(bytes == right);
                    }
                    let mut part = vec![0; 100_000];
                    if file.read_at(50_000, &mut part).unwrap() {
                        assert!(part.iter().all(|byte| *byte == 9));
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    file.write_provisional(0, &vec![1; size as usize]).unwrap();
                    file.write(0, &right).unwrap();
                    file.drop_block(0).unwrap();
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        }
    });
}

/// What may happen to a block.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write(u32),
    WriteProvisional(u32),
    Promote(u32),
    Confirm(u32),
    Reject(u32),
    Drop(u32),
    Release,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let block = 0..20_u32;
    prop_oneof![
        4 => block.clone().prop_map(Op::Write),
        3 => block.clone().prop_map(Op::WriteProvisional),
        2 => block.clone().prop_map(Op::Promote),
        3 => block.clone().prop_map(Op::Confirm),
        1 => block.clone().prop_map(Op::Reject),
        2 => block.prop_map(Op::Drop),
        1 => Just(Op::Release),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failed"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_file_does_what_its_model_does(
        length in prop_oneof![Just(1_u64), 4095..4098_u64, 1..80_000_u64],
        work in prop::collection::vec(op(), 0..120),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut file = SparseFile::create(&path, length, BLOCK).unwrap();
        let mut model = BTreeMap::<u32, (State, Vec<u8>)>::new();
        for (version, op) in work.into_iter().enumerate() {
            apply(&mut file, &path, &mut model, op, version as u8);
            for block in 0..file.blocks() {
                prop_assert_eq!(file.read_block(block).unwrap(), model.get(&block).cloned());
            }
            let held: usize = model.values().map(|(_, bytes)| bytes.len()).sum();
            prop_assert_eq!(file.held(), held as u64);
        }
    }
}

fn apply(
    file: &mut SparseFile,
    path: &Path,
    model: &mut BTreeMap<u32, (State, Vec<u8>)>,
    op: Op,
    version: u8,
) {
    let state = |block: &u32| model.get(block).map(|(state, _)| *state);
    match op {
        Op::Write(block) => {
            let Some((_, length)) = file.extent(block) else {
                return;
            };
            let bytes = bytes(block, version, length);
            let written = file.write(block, &bytes).unwrap();
            assert_eq!(written, state(&block) != Some(State::Present));
            if written {
                model.insert(block, (State::Present, bytes));
            }
        }
        Op::WriteProvisional(block) => {
            let Some((_, length)) = file.extent(block) else {
                return;
            };
            let bytes = bytes(block, version, length);
            let written = file.write_provisional(block, &bytes).unwrap();
            let kept = matches!(state(&block), Some(State::Present | State::Provisional));
            assert_eq!(written, !kept);
            if written {
                model.insert(block, (State::Provisional, bytes));
            }
        }
        Op::Promote(block) => {
            let promoted = file.promote(block).unwrap();
            assert_eq!(promoted, state(&block) == Some(State::Provisional));
            if promoted && let Some(entry) = model.get_mut(&block) {
                entry.0 = State::Present;
            }
        }
        Op::Confirm(block) => {
            let confirmed = file.confirm(block);
            assert_eq!(confirmed, state(&block) == Some(State::Recorded));
            if confirmed && let Some(entry) = model.get_mut(&block) {
                entry.0 = State::Present;
            }
        }
        Op::Reject(block) => {
            let rejected = file.reject(block).unwrap();
            assert_eq!(rejected, state(&block) == Some(State::Recorded));
            if rejected {
                model.remove(&block);
            }
        }
        Op::Drop(block) => {
            file.drop_block(block).unwrap();
            model.remove(&block);
        }
        Op::Release => file.release(),
        Op::Reopen => {
            *file = SparseFile::open(path).unwrap();
            model.retain(|_, (state, _)| {
                let kept = *state != State::Provisional;
                *state = State::Recorded;
                kept
            });
        }
    }
}
