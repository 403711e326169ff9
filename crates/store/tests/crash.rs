//! A kill at every step of writing, committing, completing, evicting and removing.
//!
//! The test runs itself again as a child, which does one fixed piece of work and aborts at step k,
//! for k = 0, 1, 2 … until a child reaches the end. Before that it tells, line by line, what it was
//! told is stored. After each abort the store is opened again and must hold all that was
//! acknowledged, nothing that does not verify, no file without a task, and an account that adds up.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Blob, PIECE, config, files, open, path};
use content::PieceIndex;
use store::{Store, Task};

const DIR: &str = "MEGANEURA_CRASH_TEST_DIR";
const STEP: &str = "MEGANEURA_ABORT_AT_STEP";

/// Room for two of the three larger blobs.
const QUOTA: u64 = 20 * PIECE as u64;

fn verified() -> Blob {
    Blob::new(1, 9 * PIECE + 1)
}

fn provisional() -> Blob {
    Blob::new(2, 5 * PIECE - 1)
}

fn evictor() -> Blob {
    Blob::new(3, 9 * PIECE)
}

fn removed() -> Blob {
    Blob::new(4, 2 * PIECE)
}

fn empty() -> Blob {
    Blob::new(5, 0)
}

/// Says something to the parent at once.
fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{words}").expect("the parent reads");
    out.flush().expect("the parent reads");
}

/// The work that is killed where it runs as a child. By itself it comes to its end.
#[test]
fn child() {
    let own = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(DIR).unwrap_or_else(|| own.path().into());
    let store = Store::open(config(Path::new(&dir), QUOTA)).unwrap();
    let put = |blob: &Blob, name: &str| {
        let task = store.create(blob.id, blob.layout, "").unwrap();
        task.add_statement(blob.signed.clone(), &blob.statement).unwrap();
        for index in 0..blob.layout.pieces() {
            task.put(&blob.piece(index)).unwrap();
            say(&format!("stored {name} {index}"));
        }
        task
    };
    let blob = verified();
    drop(put(&blob, "verified"));
    store.task(&blob.id).unwrap().complete(&blob.whole()).unwrap();
    let task = store.create(empty().id, empty().layout, "").unwrap();
    task.complete(&empty().whole()).unwrap();

    let blob = provisional();
    let task = store.create(blob.id, blob.layout, "").unwrap();
    for index in 0..blob.layout.pieces() {
        task.put_provisional(&blob.provisional(index)).unwrap();
    }
    // One of them is overtaken by a signed piece.
    task.put(&blob.piece(1)).unwrap();
    task.complete(&blob.whole()).unwrap();
    say("whole provisional");
    drop(task);

    drop(put(&removed(), "removed"));
    say("removing removed");
    assert!(store.remove(&removed().id).unwrap());

    // A piece is found corrupt, dropped, and comes again.
    let blob = verified();
    say("dropping verified");
    {
        let task = store.task(&blob.id).unwrap();
        std::fs::write(path(Path::new(&dir), &blob.id, "data"), vec![0; blob.bytes.len()]).unwrap();
        for index in 0..3 {
            task.scrub(index, &blob.book).unwrap();
        }
        task.drop_all();
        for index in 0..blob.layout.pieces() {
            task.put(&blob.piece(index)).unwrap();
        }
    }
    // Room is made: the oldest go.
    say("evicting verified");
    say("evicting provisional");
    drop(put(&evictor(), "evictor"));
    store.evict();
    assert_eq!(store.stats().evicted_tasks, 2);
    drop(store);
    say("end");
}

/// What the child said before it died.
#[derive(Default)]
struct Said {
    stored: BTreeSet<(String, PieceIndex)>,
    whole: BTreeSet<String>,
    /// Tasks that something was about to happen to.
    unsure: BTreeSet<String>,
    ended: bool,
}

impl Said {
    fn is_sure(&self, name: &str) -> bool {
        !self.unsure.contains(name)
    }
}

fn run_child(dir: &Path, step: u64) -> Said {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(STEP, step.to_string())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(words) = line.strip_prefix('@') else {
            continue;
        };
        match *words.split(' ').collect::<Vec<_>>() {
            ["stored", name, index] => {
                said.stored.insert((name.to_owned(), index.parse().unwrap()));
            }
            ["whole", name] => {
                said.whole.insert(name.to_owned());
            }
            ["removing" | "dropping" | "evicting", name] => {
                said.unsure.insert(name.to_owned());
            }
            ["end"] => said.ended = true,
            _ => panic!("{line}"),
        }
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let as_planned = said.ended == output.status.success() && !error.contains("panicked");
    assert!(as_planned, "step {step}: {error}");
    said
}

/// Opens what a killed child left and looks at all of it.
fn check(dir: &Path, said: &Said, step: u64) {
    let store = open(dir);
    let blobs = [
        ("verified", verified()),
        ("provisional", provisional()),
        ("evictor", evictor()),
        ("removed", removed()),
        ("empty", empty()),
    ];
    let mut held = 0;
    let mut tasks = 0;
    for (name, blob) in &blobs {
        if let Some(task) = store.task(&blob.id) {
            tasks += 1;
            check_task(&task, name, blob, said, step);
            held += task.held();
        } else {
            let acknowledged = said.stored.iter().any(|(of, _)| of == name);
            let lost = acknowledged || said.whole.contains(*name);
            assert!(!(said.is_sure(name) && lost), "step {step}: {name} is lost");
        }
    }
    let stats = store.stats();
    assert_eq!(stats.bytes, held, "step {step}");
    let right = stats.corrupt_pieces == 0 || !said.is_sure("verified");
    assert!(right, "step {step}: a piece was corrupt");
    let found = files(dir);
    assert_eq!(found.len(), 2 * tasks, "step {step}: {found:?}");
    // And it goes on: everything can be stored again.
    for (_, blob) in &blobs {
        let task = store.create(blob.id, blob.layout, "").unwrap();
        for index in 0..blob.layout.pieces() {
            task.put(&blob.piece(index)).unwrap();
        }
        task.complete(&blob.whole()).unwrap();
        assert!(task.is_complete());
    }
}

fn check_task(task: &Task, name: &str, blob: &Blob, said: &Said, step: u64) {
    let present = task.present();
    for (_, index) in said.stored.iter().filter(|(of, _)| of == name) {
        let there = present.contains(*index) || !said.is_sure(name);
        assert!(there, "step {step}: {name} {index} is lost");
    }
    if said.is_sure(name) && said.whole.contains(name) {
        assert!(task.is_complete(), "step {step}: {name}");
        // A node without a supernode has only its own digests; piece 1 came with a signed one.
        for index in present.iter().filter(|index| *index != 1) {
            let read = task.read_piece(index, &blob.empty_book()).unwrap();
            assert_eq!(read, Some(blob.raw(index)), "step {step}: {name} {index}");
        }
    }
    for index in present.iter() {
        let read = task.read_piece(index, &blob.book).unwrap();
        // The child itself overwrote this one's bytes.
        let dropped = read.is_none() && name == "verified" && !said.is_sure(name);
        let right = dropped || read == Some(blob.raw(index));
        assert!(right, "step {step}: {name} {index} does not verify");
    }
    let held = held_by_pieces(blob, &task.local());
    assert_eq!(held, task.held(), "step {step}: {name}");
}

fn held_by_pieces(blob: &Blob, pieces: &content::PieceSet) -> u64 {
    pieces.iter().map(|index| blob.raw(index).len() as u64).sum()
}

#[test]
fn a_kill_at_any_step_does_no_harm() {
    for step in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("store");
        let said = run_child(&dir, step);
        check(&dir, &said, step);
        if said.ended {
            println!("{step} steps");
            assert!(step > 50, "the work has more steps than that");
            assert!(!said.stored.is_empty() && !said.whole.is_empty());
            return;
        }
    }
}
