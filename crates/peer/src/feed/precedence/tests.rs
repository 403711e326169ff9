//! Who goes first, and for how long.

use std::time::Duration;

use super::order::{Order, PATIENCE, READS_ON};
use super::*;

const HOST: &str = "registry.example";

fn order<const N: usize>(hosts: [&str; N]) -> (Order, [u64; N]) {
    let mut order = Order::default();
    let numbers = hosts.map(|host| order.join(host.to_owned()));
    (order, numbers)
}

#[test]
fn who_is_less_urgent_waits_and_nobody_else() {
    let (mut order, [read, pull, second, prefetch]) = order([HOST; 4]);
    let now = Instant::now();
    order.wants(pull, Priority::Pull, now);
    order.wants(second, Priority::Pull, now);
    assert_eq!((order.waits(pull, now), order.waits(second, now)), (None, None));
    order.wants(prefetch, Priority::Prefetch, now);
    assert!(order.waits(prefetch, now).is_some());
    order.wants(read, Priority::Blocked, now);
    assert_eq!(order.waits(read, now), None);
    assert_eq!(order.waits(pull, now), Some(now + PATIENCE));
    // Its reader may read on.
    order.leave(read, now);
    assert_eq!(order.waits(pull, now), Some(now + READS_ON));
    let now = now + READS_ON;
    assert_eq!(order.waits(pull, now), None);
    order.rest(pull, now);
    order.leave(second, now);
    assert_eq!(order.waits(prefetch, now), None);
}

#[test]
fn another_registry_is_another_matter() {
    let (mut order, [read, pull]) = order([HOST, "elsewhere.example"]);
    let now = Instant::now();
    order.wants(read, Priority::Blocked, now);
    order.wants(pull, Priority::Pull, now);
    assert_eq!(order.waits(pull, now), None);
}

#[test]
fn what_does_not_come_holds_nobody_up_for_long_and_what_comes_does() {
    let (mut order, [read, pull]) = order([HOST; 2]);
    let began = Instant::now();
    order.wants(read, Priority::Blocked, began);
    let later = began + PATIENCE;
    order.wants(pull, Priority::Pull, later);
    assert_eq!(order.waits(pull, later), None);
    order.wants(read, Priority::Blocked, later);
    assert_eq!(order.waits(pull, later), Some(later + PATIENCE));
    // Its pieces are a pull's from now on.
    assert!(order.wants(read, Priority::Pull, later));
    assert_eq!(order.waits(pull, later), Some(later + READS_ON));
    assert_eq!(order.waits(read, later + READS_ON), None);
}

/// Two streams of one registry; the first reads what somebody waits for.
fn two() -> (Place, Place, watch::Sender<Need>) {
    let precedence = Precedence::default();
    let places = (precedence.join(HOST), precedence.join(HOST), watch::Sender::default());
    assert_eq!(places.0.wants(Priority::Blocked, Instant::now()), None);
    places
}

/// Whether the stream still waits after some time.
async fn still(waiting: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    tokio::time::timeout(PATIENCE / 4, waiting).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_when_the_other_has_gone_or_rests() {
    for rests in [false, true] {
        let (read, pull, need) = two();
        let mut waiting = Box::pin(pull.turn(need.subscribe(), || Priority::Pull));
        assert!(still(&mut waiting).await);
        let _resting = rests.then_some(read).inspect(Place::rest);
        assert!(!still(&mut waiting).await);
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_when_its_own_piece_is_as_urgent() {
    let (_read, pull, need) = two();
    let urgency = || need.borrow().priority;
    need.send_modify(|need| need.priority = Priority::Pull);
    let mut waiting = Box::pin(pull.turn(need.subscribe(), urgency));
    assert!(still(&mut waiting).await);
    need.send_modify(|need| need.priority = Priority::Blocked);
    assert!(!still(&mut waiting).await);
}

#[tokio::test(start_paused = true)]
async fn under_reads_without_end_a_pull_gets_a_piece_now_and_then() {
    let (read, pull, need) = two();
    let reading = async {
        loop {
            read.turn(need.subscribe(), || Priority::Blocked).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let pulling = async {
        let began = Instant::now();
        for _ in 0..5 {
            pull.turn(need.subscribe(), || Priority::Pull).await;
        }
        began.elapsed()
    };
    let took = tokio::select! {
        took = pulling => took,
        () = reading => return,
    };
    assert!(took >= PATIENCE * 5 && took < PATIENCE * 6, "{took:?}");
}
