//! Random work on a store and on a model of it that is nothing but sets in memory.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{Blob, PIECE, files, open, path};
use content::{PieceIndex, PieceSet};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use store::{CompleteError, Scrubbed, Store};

/// What may happen to a blob's task.
#[derive(Clone, Copy, Debug)]
enum Op {
    Create,
    Put(PieceIndex),
    PutProvisional(PieceIndex),
    PutAll,
    PutAllProvisional,
    Read(PieceIndex),
    Scrub(PieceIndex),
    Complete,
    DropAll,
    Remove,
    Collect,
    Reopen,
    /// A byte of a piece changes while the store is down.
    FlipAndReopen(PieceIndex),
}

/// What a task must look like.
#[derive(Clone, Debug, Default)]
struct Model {
    present: BTreeSet<PieceIndex>,
    provisional: BTreeSet<PieceIndex>,
    flipped: BTreeSet<PieceIndex>,
    whole: bool,
}

impl Model {
    fn reopen(&mut self, pieces: u32) {
        self.provisional.clear();
        self.whole &= self.present.len() == pieces as usize;
    }

    /// Looks at a piece as a reader does; false if it is not there.
    fn look(&mut self, index: PieceIndex) -> bool {
        if self.flipped.remove(&index) {
            self.present.remove(&index);
            self.whole = false;
        }
        self.present.contains(&index)
    }
}

/// Sizes at which something changes: nothing, one byte, around a piece, a short last piece.
fn blobs() -> Vec<Blob> {
    let sizes = [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17, 9 * PIECE];
    let numbered = (1..).zip(sizes);
    numbered.map(|(seed, size)| Blob::new(seed, size)).collect()
}

fn op() -> impl Strategy<Value = Op> {
    let piece = 0..10_u32;
    prop_oneof![
        2 => Just(Op::Create),
        6 => piece.clone().prop_map(Op::Put),
        4 => piece.clone().prop_map(Op::PutProvisional),
        2 => Just(Op::PutAll),
        2 => Just(Op::PutAllProvisional),
        6 => piece.clone().prop_map(Op::Read),
        2 => piece.clone().prop_map(Op::Scrub),
        3 => Just(Op::Complete),
        1 => Just(Op::DropAll),
        1 => Just(Op::Remove),
        1 => Just(Op::Collect),
        2 => Just(Op::Reopen),
        2 => piece.prop_map(Op::FlipAndReopen),
    ]
}

struct Both<'a> {
    dir: &'a Path,
    blobs: &'a [Blob],
    store: Option<Store>,
    models: Vec<Option<Model>>,
}

impl Both<'_> {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between operations")
    }

    fn apply(&mut self, number: usize, op: Op) {
        let blob = &self.blobs[number];
        let all = blob.layout.pieces();
        match op {
            Op::Create => {
                self.store().create(blob.id, blob.layout, "").unwrap();
                self.models[number].get_or_insert_default();
            }
            Op::Remove => {
                let was = self.models[number].take().is_some();
                assert_eq!(self.store().remove(&blob.id).unwrap(), was);
            }
            Op::Collect => drop(self.store().gc(0)),
            Op::Reopen => self.reopen(|| {}),
            Op::FlipAndReopen(index) => {
                let held = self.models[number].as_mut();
                if let Some(model) = held.filter(|model| model.present.contains(&index)) {
                    model.flipped.insert(index);
                    let (data, bytes) = (path(self.dir, &blob.id, "data"), blob.raw(index));
                    self.reopen(|| {
                        let file = fs::OpenOptions::new().write(true).open(data).unwrap();
                        let at = u64::from(index) * PIECE as u64;
                        file.write_all_at(&[!bytes[0]], at).unwrap();
                    });
                }
            }
            Op::PutAll => (0..all).for_each(|index| self.on_task(number, Op::Put(index))),
            Op::PutAllProvisional => {
                (0..all).for_each(|index| self.on_task(number, Op::PutProvisional(index)));
            }
            _ => self.on_task(number, op),
        }
    }

    fn reopen(&mut self, meanwhile: impl FnOnce()) {
        self.store = None;
        meanwhile();
        self.store = Some(open(self.dir));
        for (model, blob) in self.models.iter_mut().zip(self.blobs) {
            if let Some(model) = model {
                model.reopen(blob.layout.pieces());
            }
        }
    }

    fn on_task(&mut self, number: usize, op: Op) {
        let blob = &self.blobs[number];
        let task = self.store().task(&blob.id);
        assert_eq!(task.is_some(), self.models[number].is_some());
        let (Some(task), Some(model)) = (task, &mut self.models[number]) else {
            return;
        };
        let all = blob.layout.pieces();
        match op {
            Op::Put(index) if index < all => {
                task.put(&blob.piece(index)).unwrap();
                // A recorded piece is overwritten, right or wrong.
                model.flipped.remove(&index);
                model.provisional.remove(&index);
                model.present.insert(index);
            }
            Op::PutProvisional(index) if index < all => {
                task.put_provisional(&blob.provisional(index)).unwrap();
                if !model.present.contains(&index) {
                    model.provisional.insert(index);
                }
            }
            Op::Read(index) => {
                let read = task.read_piece(index, &blob.book).unwrap();
                let there = model.look(index);
                assert_eq!(read, there.then(|| blob.raw(index)));
                let read = task.read_provisional(index).unwrap();
                let there = model.provisional.contains(&index);
                assert_eq!(read, there.then(|| blob.raw(index)));
            }
            Op::Scrub(index) => {
                let was = model.present.contains(&index);
                let expected = match (was, model.look(index)) {
                    (false, _) => Scrubbed::Absent,
                    (true, true) => Scrubbed::Fine,
                    (true, false) => Scrubbed::Dropped,
                };
                assert_eq!(task.scrub(index, &blob.book).unwrap(), expected);
            }
            Op::Complete => {
                let local = model.present.len() + model.provisional.len();
                match task.complete(&blob.whole()) {
                    Ok(()) => {
                        assert_eq!(local, all as usize);
                        model.present.append(&mut model.provisional);
                        model.whole = true;
                    }
                    Err(CompleteError::Missing { missing, .. }) => {
                        assert_eq!(local, (all - missing) as usize);
                        assert!(missing > 0);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            Op::DropAll => {
                task.drop_all();
                *model = Model::default();
            }
            _ => {}
        }
    }

    fn compare(&self) {
        let mut bytes = 0;
        let mut tasks = 0;
        for (blob, model) in self.blobs.iter().zip(&self.models) {
            let task = self.store().task(&blob.id);
            assert_eq!(task.is_some(), model.is_some());
            let (Some(task), Some(model)) = (task, model) else {
                continue;
            };
            tasks += 1;
            let set = |pieces: &PieceSet| pieces.iter().collect::<BTreeSet<_>>();
            assert_eq!(set(&task.present()), model.present);
            let local: BTreeSet<_> = model.present.union(&model.provisional).copied().collect();
            assert_eq!(set(&task.local()), local);
            let complete = model.whole && model.present.len() == blob.layout.pieces() as usize;
            assert_eq!(task.is_complete(), complete);
            bytes += local.iter().map(|index| blob.raw(*index).len() as u64).sum::<u64>();
        }
        let stats = self.store().stats();
        assert_eq!((stats.tasks, stats.bytes), (tasks, bytes));
        assert_eq!(files(self.dir).len() as u64, 2 * tasks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failed"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_does_what_its_model_does(
        work in prop::collection::vec((0..7_usize, op()), 1..80)
    ) {
        let blobs = blobs();
        let folder = tempfile::tempdir().unwrap();
        let mut both = Both {
            dir: folder.path(),
            blobs: &blobs,
            store: Some(open(folder.path())),
            models: vec![None; blobs.len()],
        };
        // Half of all tasks are there from the start, or most work would find none.
        for number in [1, 3, 5, 6] {
            both.apply(number, Op::Create);
        }
        for (number, op) in work {
            both.apply(number, op);
            both.compare();
        }
    }
}
