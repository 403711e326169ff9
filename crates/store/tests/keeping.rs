//! What an operator and an upkeep ask of a store, one promise a test.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod common;

use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use common::{Blob, PIECE, config, open, path};
use content::{PieceSet, TaskId};
use store::{PutError, Removal, Scrubbed, Store};

fn stored(store: &Store, blob: &Blob) -> Arc<store::Task> {
    let task = store.create(blob.id, blob.layout, "test/blob").unwrap();
    task.add_statement(blob.signed.clone(), &blob.statement).unwrap();
    for index in 0..blob.layout.pieces() {
        task.put(&blob.piece(index)).unwrap();
    }
    task
}

type Heard = Arc<Mutex<Vec<(TaskId, PieceSet)>>>;

fn listen(store: &Store) -> Heard {
    let heard = Heard::default();
    let into = Arc::clone(&heard);
    store.on_loss(move |task, pieces| into.lock().unwrap().push((task, pieces)));
    heard
}

#[test]
fn whoever_claimed_pieces_hears_when_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let heard = listen(&store);
    let [a, b, c] = [1, 2, 3].map(|seed| Blob::new(seed, 3 * PIECE));
    for blob in [&a, &b] {
        drop(stored(&store, blob));
    }
    let task = stored(&store, &c);
    assert!(heard.lock().unwrap().is_empty());

    // Damaged: the one piece.
    let file = std::fs::OpenOptions::new().write(true).open(path(folder.path(), &c.id, "data"));
    file.unwrap().write_all_at(b"flipped", 2 * PIECE as u64).unwrap();
    assert_eq!(task.scrub(2, &c.book).unwrap(), Scrubbed::Dropped);
    let mut one = PieceSet::none(3);
    one.insert(2);
    assert_eq!(heard.lock().unwrap().pop(), Some((c.id, one)));

    // Evicted, removed: all that could be claimed.
    assert_eq!(store.evict_to(6 * PIECE as u64).tasks, 1);
    assert_eq!(heard.lock().unwrap().pop(), Some((a.id, PieceSet::all(3))));
    assert!(store.remove(&b.id).unwrap());
    assert_eq!(heard.lock().unwrap().pop(), Some((b.id, PieceSet::all(3))));
    task.drop_all();
    let (id, pieces) = heard.lock().unwrap().pop().unwrap();
    assert_eq!((id, pieces.len()), (c.id, 2));
    assert!(heard.lock().unwrap().is_empty());
}

#[test]
fn what_is_in_use_or_pinned_is_not_removed_by_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let blob = Blob::new(1, 2 * PIECE);
    let task = stored(&store, &blob);
    assert_eq!(store.remove_unused(&blob.id).unwrap(), Removal::InUse);
    drop(task);
    store.pin(&blob.id).unwrap();
    assert_eq!(store.remove_unused(&blob.id).unwrap(), Removal::Pinned);
    assert_eq!(store.evict_to(0).tasks, 0);
    store.unpin(&blob.id).unwrap();
    let bytes = 2 * PIECE as u64;
    assert_eq!(store.remove_unused(&blob.id).unwrap(), Removal::Removed { bytes });
    assert_eq!(store.remove_unused(&blob.id).unwrap(), Removal::Unknown);
}

#[test]
fn a_task_without_a_place_can_be_watched_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(config(folder.path(), 1 << 30)).unwrap();
    let blob = Blob::new(1, 2 * PIECE + 5);
    let task = store.unkept(blob.id, blob.layout, "test/blob").unwrap();
    assert!(matches!(task.put(&blob.piece(0)), Err(PutError::Gone { .. })));
    assert!(task.read_piece(0, &blob.book).unwrap().is_none());
    assert!(task.present().is_empty() && task.local().is_empty() && !task.is_complete());
    task.add_statement(blob.signed.clone(), &blob.statement).unwrap();
    assert!(task.statements().is_empty());
    let mut watch = task.watch();
    watch.borrow_and_update();
    task.changed();
    assert!(watch.has_changed().unwrap());
    assert!(store.task(&blob.id).is_none() && store.stats().bytes == 0);
    drop(task.lease());
    assert!(store.list().is_empty());
    // The place that the disk finds for it later is another task.
    let kept = stored(&store, &blob);
    assert!(kept.present().is_full() && task.present().is_empty());
}
