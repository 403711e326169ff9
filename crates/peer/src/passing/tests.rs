//! What is taken in, what goes first, and what others are told.

use wire::control::Priority;

use super::*;
use crate::demand::Want;

const KIB: usize = 1024;

const fn reader(at: u32, end: u32) -> Want {
    Want { run: Run { first: at, end }, reader_at: at, priority: Priority::Pull }
}

const fn needs(readers: &[Want]) -> Needs<'_> {
    Needs { readers, hash: Run::EMPTY }
}

fn admit(passing: &mut Passing, index: u32, needs: &Needs<'_>, most: u64) -> Admitted {
    passing.admit(index, Bytes::from(vec![1; KIB]), true, needs, most)
}

fn here(passing: &Passing) -> Vec<u32> {
    passing.held.keys().copied().collect()
}

#[test]
fn a_piece_stays_until_all_readers_have_passed() {
    let mut passing = Passing::default();
    let both = [reader(0, 10), reader(2, 10)];
    for index in 0..4 {
        assert_eq!(admit(&mut passing, index, &needs(&both), 1 << 20), Admitted::Held);
    }
    passing.release(&needs(&[reader(1, 10), reader(4, 10)]));
    assert_eq!(here(&passing), [1, 2, 3]);
    passing.release(&needs(&[reader(4, 10)]));
    assert!(here(&passing).is_empty() && passing.bytes == 0);
    let late = admit(&mut passing, 3, &needs(&[reader(4, 10)]), 1 << 20);
    assert_eq!(late, Admitted::Passed);
}

#[test]
fn the_pass_keeps_what_it_comes_to() {
    let mut passing = Passing::default();
    for index in 0..4 {
        admit(&mut passing, index, &needs(&[reader(0, 10)]), 1 << 20);
    }
    let readers = [reader(4, 10)];
    passing.release(&Needs { readers: &readers, hash: Run { first: 2, end: 4 } });
    assert_eq!(here(&passing), [2, 3]);
}

#[test]
fn what_is_nearest_ahead_of_a_reader_has_the_room() {
    let mut passing = Passing::default();
    let readers = [reader(0, 100)];
    let needs = needs(&readers);
    let most = 3 * KIB as u64;
    for index in [50, 40, 30] {
        assert_eq!(admit(&mut passing, index, &needs, most), Admitted::Held);
    }
    assert_eq!(admit(&mut passing, 60, &needs, most), Admitted::Refused);
    assert_eq!(admit(&mut passing, 10, &needs, most), Admitted::Held);
    assert_eq!(here(&passing), [10, 30, 40]);
    // What the reader waits for is taken, whatever the limit says.
    assert_eq!(admit(&mut passing, 0, &needs, KIB as u64), Admitted::Held);
}

#[test]
fn before_anybody_reads_everything_is_taken() {
    let mut passing = Passing::default();
    assert_eq!(admit(&mut passing, 0, &needs(&[]), 1 << 20), Admitted::Held);
    assert!(passing.get(0).is_some() && passing.verified(0).is_some());
}

#[test]
fn handed_on_pieces_go_once_somebody_has_them() {
    let mut passing = Passing::default();
    let most = 3 * KIB as u64;
    let nobody = Needs { readers: &[], hash: Run { first: 1, end: 3 } };
    for index in 0..3 {
        assert!(passing.make_room(KIB as u64, &nobody, most, false));
        admit(&mut passing, index, &nobody, most);
    }
    assert!(!passing.make_room(KIB as u64, &nobody, most, false), "nobody has any of them");
    passing.sent(0);
    passing.sent(1); // the pass has not seen it yet
    assert!(passing.make_room(KIB as u64, &nobody, most, false));
    assert_eq!(here(&passing), [1, 2]);
    assert!(!passing.make_room(2 * KIB as u64, &nobody, most, true));
    let seen = Needs { readers: &[], hash: Run::EMPTY };
    assert!(passing.make_room(3 * KIB as u64, &seen, most, true));
    assert!(here(&passing).is_empty());
}

#[test]
fn what_has_gone_is_told_once_and_not_while_it_is_wanted() {
    let mut passing = Passing::default();
    for index in 0..4 {
        admit(&mut passing, index, &needs(&[reader(0, 10)]), 1 << 20);
    }
    passing.release(&needs(&[reader(3, 10)]));
    let gone = passing.take_gone(10, Run { first: 2, end: 10 });
    assert_eq!(gone.iter().collect::<Vec<_>>(), [0, 1]);
    assert!(passing.is_going(2));
    let gone = passing.take_gone(10, Run { first: 3, end: 10 });
    assert_eq!(gone.iter().collect::<Vec<_>>(), [2]);
    assert!(passing.take_gone(10, Run::EMPTY).is_empty());
}

#[test]
fn what_comes_again_has_to_be_the_same() {
    let mut passing = Passing::default();
    assert!(passing.agrees(1, PieceDigest::of(b"a")));
    assert!(passing.agrees(1, PieceDigest::of(b"a")));
    assert!(!passing.agrees(1, PieceDigest::of(b"b")));
}

#[test]
fn tasks_share_the_memory_and_each_has_some() {
    let budget = Budget::new(64 << 20);
    let one = budget.share();
    assert_eq!((one.bytes(), one.ahead(1 << 20)), (64 << 20, 16));
    let many: Vec<_> = (0..31).map(|_| budget.share()).collect();
    assert_eq!((one.bytes(), one.ahead(1 << 20)), (4 << 20, 2));
    drop(many);
    assert_eq!(one.bytes(), 64 << 20);
}
