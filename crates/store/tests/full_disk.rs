//! A disk that really is full: a small tmpfs, mounted by the test, which needs root.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Blob, PIECE, config};
use store::{CreateError, Fault, PutError, Store};

/// A file system of a few MiB, unmounted at the end.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=700");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        match done {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                skipped("a small file system cannot be mounted here (needs root)");
                None
            }
        }
    }

    fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        done.is_ok_and(|status| status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills the disk until it stays full: what was written and removed before may be given back late.
fn fill(filler: &Path) {
    let mut file = std::fs::File::create(filler).unwrap();
    let mut refused = 0;
    while refused < 50 {
        if file.write_all(&[1; 4096]).is_ok() {
            refused = 0;
        } else {
            refused += 1;
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_full_disk_ends_writing_and_not_reading_until_space_returns() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path(), "12m") else {
        return;
    };
    let dir = small.0.join("store");
    let store = Store::open(config(&dir, 1 << 40)).unwrap();
    let blob = Blob::new(1, 8 << 20);
    let task = store.create(blob.id, blob.layout, "").unwrap();
    task.add_statement(blob.signed.clone(), &blob.statement).unwrap();
    store.flush().unwrap();

    // Somebody else fills the disk while pieces come.
    let filler = small.0.join("filler");
    std::fs::write(&filler, vec![1; 6 << 20]).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let index = u32::try_from(kept.len()).unwrap();
        match task.put(&blob.piece(index)) {
            Ok(()) => kept.push(index),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PutError::Full { .. }), "{error:?}");
    assert!(!store.writable());
    assert_eq!(store.stats().fault, Some(Fault::Full));
    assert!(!kept.is_empty());

    // Refused at once and by type, reads go on, other things fail plainly at worst.
    let next = u32::try_from(kept.len()).unwrap();
    assert!(matches!(task.put(&blob.piece(next)), Err(PutError::Full { .. })));
    let other = Blob::new(2, PIECE);
    let refused = store.create(other.id, other.layout, "");
    assert!(matches!(refused, Err(CreateError::Disk { .. })));
    for index in &kept {
        let bytes = task.read_piece(*index, &blob.book).unwrap();
        assert_eq!(bytes, Some(blob.raw(*index)));
    }
    let _ = task.add_statement(blob.signed.clone(), &blob.statement);
    let _ = store.put_grant(b"key", &[0; 1000], 10);
    assert!(!store.probe(), "still full");
    assert_eq!(task.statements(), std::slice::from_ref(&blob.signed));

    // Space returns; nothing was lost, here and after a restart.
    std::fs::remove_file(&filler).unwrap();
    assert!(store.probe());
    assert!(store.writable());
    for index in 0..blob.layout.pieces() {
        task.put(&blob.piece(index)).unwrap();
    }
    task.complete(&blob.whole()).unwrap();
    store.flush().unwrap();
    drop((task, store));
    let store = Store::open(config(&dir, 1 << 40)).unwrap();
    let task = store.task(&blob.id).unwrap();
    assert!(task.is_complete());
    assert_eq!(task.statements(), std::slice::from_ref(&blob.signed));
    for index in 0..blob.layout.pieces() {
        assert!(task.read_piece(index, &blob.book).unwrap().is_some());
    }
}

#[test]
fn the_index_survives_a_disk_that_filled_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path(), "8m") else {
        return;
    };
    let dir = small.0.join("store");
    let store = Store::open(config(&dir, 1 << 40)).unwrap();
    let blob = Blob::new(1, 4 * PIECE);
    let task = store.create(blob.id, blob.layout, "test/blob").unwrap();
    task.put(&blob.piece(0)).unwrap();
    store.flush().unwrap();
    // The disk is full and only the index notices.
    let filler = small.0.join("filler");
    fill(&filler);
    for number in 0..2000_u32 {
        let _ = store.put_grant(&number.to_be_bytes(), &[7; 1000], u64::MAX);
    }
    let _ = store.flush();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let _ = store.put_grant(b"late", b"x", u64::MAX);
    let _ = task.put(&blob.piece(1));
    assert_eq!(task.read_piece(0, &blob.book).unwrap(), Some(blob.raw(0)));
    let _ = store.gc(0);
    store.probe();
    std::fs::remove_file(&filler).unwrap();
    assert!(store.probe());
    task.put(&blob.piece(2)).unwrap();
    store.put_grant(b"new", b"x", u64::MAX).unwrap();
    store.flush().unwrap();
    drop((task, store));
    let store = Store::open(config(&dir, 1 << 40)).unwrap();
    let task = store.task(&blob.id).unwrap();
    assert_eq!(task.media_type(), "test/blob");
    assert_eq!(store.grant(b"new", 0), Some(b"x".to_vec()));
    assert_eq!(task.read_piece(2, &blob.book).unwrap(), Some(blob.raw(2)));
}

#[test]
fn a_disk_that_turns_read_only_still_reads() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path(), "16m") else {
        return;
    };
    let dir = small.0.join("store");
    {
        let store = Store::open(config(&dir, 1 << 40)).unwrap();
        let blob = Blob::new(1, 4 * PIECE);
        let task = store.create(blob.id, blob.layout, "").unwrap();
        task.put(&blob.piece(0)).unwrap();
        store.gc(0); // closes the files, so that they are opened anew below
        store.flush().unwrap();
        drop(store);
    }
    // A kernel remounts a failing disk in spite of open files; `mount` does not. So the store is
    // opened over files that cannot be opened for writing: a bind mount shows them read-only.
    let store = Store::open(config(&dir, 1 << 40)).unwrap();
    let tasks = dir.join("tasks");
    let bound = Command::new("mount").arg("--bind").args([&tasks, &tasks]).status();
    let read_only = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&tasks).status();
    let _unmount = Small(tasks.clone());
    if !bound.is_ok_and(|status| status.success())
        || !read_only.is_ok_and(|status| status.success())
    {
        skipped("there are no read-only bind mounts here");
        return;
    }
    let blob = Blob::new(1, 4 * PIECE);
    let task = store.task(&blob.id).unwrap();
    assert_eq!(task.read_piece(0, &blob.book).unwrap(), Some(blob.raw(0)));
    let refused = task.put(&blob.piece(1));
    assert!(matches!(refused, Err(PutError::ReadOnly { .. })), "{refused:?}");
    assert!(!store.writable());
    assert_eq!(store.stats().fault, Some(Fault::ReadOnly));
    assert_eq!(task.read_piece(0, &blob.book).unwrap(), Some(blob.raw(0)));
    let _ = small.remount("rw");
    let writable = Command::new("mount").args(["-o", "remount,bind,rw"]).arg(&tasks).status();
    assert!(writable.is_ok_and(|status| status.success()));
    assert!(store.probe());
    task.put(&blob.piece(1)).unwrap();
}

#[test]
fn a_store_on_a_disk_that_takes_nothing_opens_serves_and_forgets_no_pin() {
    for how in ["full", "read-only"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(small) = Small::mount(folder.path(), "12m") else {
            return;
        };
        let dir = small.0.join("store");
        let blob = Blob::new(1, 3 << 20);
        {
            let store = Store::open(config(&dir, 1 << 40)).unwrap();
            let task = store.create(blob.id, blob.layout, "test/blob").unwrap();
            task.add_statement(blob.signed.clone(), &blob.statement).unwrap();
            for index in 0..blob.layout.pieces() {
                task.put(&blob.piece(index)).unwrap();
            }
            task.complete(&blob.whole()).unwrap();
            store.pin(&blob.id).unwrap();
            store.flush().unwrap();
        }
        let filler = small.0.join("filler");
        if how == "full" {
            fill(&filler);
        } else {
            assert!(small.remount("ro"));
        }
        let store = Store::open(config(&dir, 1 << 40)).unwrap();
        assert!(!store.writable(), "{how}");
        assert_eq!(store.evict_to(0).tasks, 0, "{how}: it was pinned, and nobody can tell");
        let task = store.task(&blob.id).unwrap();
        let piece = task.read_piece(3, &blob.book).unwrap();
        assert_eq!(piece, Some(blob.raw(3)), "{how}");
        assert!(!store.probe());
        if how == "full" {
            std::fs::remove_file(&filler).unwrap();
        } else {
            assert!(small.remount("rw"));
        }
        assert!(store.probe(), "{how}");
        assert!(task.is_pinned() && task.is_complete(), "{how}");
        assert_eq!((task.media_type().as_str(), task.statements().len()), ("test/blob", 1));
        drop((task, store));
        let store = Store::open(config(&dir, 1 << 40)).unwrap();
        assert!(store.task(&blob.id).unwrap().is_pinned(), "{how}: after one more start");
    }
}

/// Says that a test is left out; nothing may be in CI.
fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to: {why}");
    eprintln!("SKIPPED: {why}");
}
