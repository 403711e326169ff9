//! The index: what replaces what, what is found again, and what a renewal keeps.

use std::fs;

use content::{PieceDigest, Run, SignedStatement};

use super::*;

fn index() -> (tempfile::TempDir, Index) {
    let folder = tempfile::tempdir().unwrap();
    let (index, known) = Index::open(&folder.path().join("index")).unwrap();
    assert!(known.is_empty());
    (folder, index)
}

fn signed(word: &str) -> SignedStatement {
    SignedStatement { body: word.into(), signature: vec![1; 64] }
}

#[test]
fn a_statement_replaces_what_it_covers() {
    let (_folder, index) = index();
    let id = TaskId::Url([1; 32]);
    let run = |first, end| Run { first, end };
    let add = |run, whole, word| index.add_statement(&id, run, whole, &signed(word)).unwrap();
    let words = || {
        let all = index.statements(&id).unwrap().into_iter();
        all.map(|s| String::from_utf8(s.body).unwrap()).collect::<Vec<_>>()
    };
    add(run(0, 2), false, "a");
    add(run(2, 4), false, "b");
    assert_eq!(words(), ["a", "b"]);
    add(run(0, 3), false, "c");
    assert_eq!(words(), ["c", "b"]);
    add(run(0, 4), true, "whole");
    assert_eq!(words(), ["whole"]);
    add(run(1, 2), false, "late");
    assert_eq!(words(), ["whole"]);
    add(run(4, 8), true, "second half");
    assert_eq!(words(), ["whole", "second half"]);
    add(run(0, 4), true, "again");
    assert_eq!(words(), ["again", "second half"]);
    let other = TaskId::Blob(content::Digest::of(b""));
    assert!(index.statements(&other).unwrap().is_empty());
    index.remove(&id).unwrap();
    assert!(words().is_empty());
}

#[test]
fn own_digests_are_found_on_their_pages() {
    let (_folder, index) = index();
    let id = TaskId::Url([1; 32]);
    let digest = |n: u8| PieceDigest::from_bytes([n; 32]);
    let first = [(0, digest(0)), (1023, digest(1)), (1024, digest(2))];
    index.add_digests(&id, &first).unwrap();
    index.add_digests(&id, &[(5, digest(3)), (0, digest(4))]).unwrap();
    let found = [0, 5, 1023, 1024, 7, 2048].map(|index_| index.digest(&id, index_).unwrap());
    let wanted = [Some(4), Some(3), Some(1), Some(2), None, None];
    assert_eq!(found, wanted.map(|n| n.map(digest)));
}

#[test]
fn grants_end() {
    let (_folder, index) = index();
    index.put_grant(b"a", b"one", 10).unwrap();
    index.put_grant(b"b", b"two", 20).unwrap();
    assert_eq!(index.grant(b"a", 9).unwrap(), Some(b"one".to_vec()));
    assert_eq!(index.grant(b"a", 10).unwrap(), None);
    assert_eq!(index.sweep_grants(10).unwrap(), 1);
    assert_eq!(index.grant(b"b", 10).unwrap(), Some(b"two".to_vec()));
    assert_eq!(index.grant(b"c", 10).unwrap(), None);
}

#[test]
fn a_renewed_index_knows_what_the_old_one_knew() {
    let (folder, index) = index();
    let id = TaskId::Url([1; 32]);
    let layout = content::Layout::for_length(9).unwrap();
    let run = Run { first: 0, end: 1 };
    let digest = PieceDigest::from_bytes([5; 32]);
    index.set_facts(&id, &Facts::new(layout, "a/b")).unwrap();
    index.set_used(&id, 7).unwrap();
    index.add_statement(&id, run, true, &signed("x")).unwrap();
    index.add_digests(&id, &[(0, digest)]).unwrap();
    index.put_grant(b"a", b"one", 10).unwrap();
    index.renew().unwrap();
    index.renew().unwrap();
    assert_eq!(index.statements(&id).unwrap(), [signed("x")]);
    assert_eq!(index.digest(&id, 0).unwrap(), Some(digest));
    assert_eq!(index.grant(b"a", 9).unwrap(), Some(b"one".to_vec()));
    drop(index);
    // A renewal that was cut off after the old index went is finished at the next start.
    let path = folder.path().join("index");
    fs::rename(&path, unnamed(&path)).unwrap();
    let (index, known) = Index::open(&path).unwrap();
    assert_eq!(known.get(&id), Some(&(Facts::new(layout, "a/b"), 7)));
    drop(index);
    // One that was cut off before has left a half-made one.
    fs::create_dir(unnamed(&path)).unwrap();
    assert_eq!(Index::open(&path).unwrap().1.len(), 1);
    assert!(!unnamed(&path).exists());
}

/// A renewal moves folders; a kill or an error may come between any two of its steps.
#[test]
fn a_renewal_that_was_cut_off_loses_nothing() {
    let id = TaskId::Url([1; 32]);
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    // What lies there: the index, the new one (whole, or only begun), the old one.
    for (own, new, old) in [
        (true, Some(false), false),
        (true, Some(true), true),
        (false, Some(true), true),
        (true, None, true),
    ] {
        let (folder, index) = index();
        index.set_used(&id, 7).unwrap();
        index.add_statement(&id, Run { first: 0, end: 2 }, true, &signed("kept")).unwrap();
        index.flush().unwrap();
        let path = folder.path().join("index");
        drop(index);
        match new {
            Some(true) => copy(&path, &path.with_extension("new")),
            Some(false) => fs::create_dir(path.with_extension("new")).unwrap(),
            None => {}
        }
        if old {
            // Half of it is gone already.
            fs::create_dir(path.with_extension("old")).unwrap();
            fs::write(path.with_extension("old").join("db"), "half").unwrap();
        }
        if !own {
            fs::remove_dir_all(&path).unwrap();
        }
        let (index, _) = Index::open(&path).unwrap();
        assert_eq!(index.statements(&id).unwrap()[0].body, b"kept", "{own} {new:?} {old}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    }
}
