//! What the ledger promises, against a model.
#![allow(missing_docs, clippy::unwrap_used)] // tests

mod support;

use lazy::ledger::{Ledger, blocks};
use proptest::prelude::*;
use rafs::ChunkInfo;
use support::{bytes, chunk};

/// Where the chunks begin: some blocks before the second of the ledger's groups.
const FIRST: u64 = 506;

/// What a model knows of one extent.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    chunk: ChunkInfo,
    settled: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Reserve(ChunkInfo),
    Settle(ChunkInfo),
    Release(ChunkInfo),
    Forget(u64, u64),
}

fn any_chunk() -> impl Strategy<Value = ChunkInfo> {
    (0..12_u64, 1..5_usize, 0..2_u8)
        .prop_map(|(block, length, kind)| chunk(FIRST + block, &bytes(kind, length * 4096 - 100)))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any_chunk().prop_map(Op::Reserve),
        3 => any_chunk().prop_map(Op::Settle),
        1 => any_chunk().prop_map(Op::Release),
        1 => (0..16_u64, 1..8_u64)
            .prop_map(|(at, length)| Op::Forget(FIRST + at, FIRST + at + length)),
    ]
}

fn share(a: &std::ops::Range<u64>, b: &std::ops::Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// One step of the model; what must come out of the ledger is checked on the way.
fn step(ledger: &mut Ledger, model: &mut Vec<Held>, op: &Op) {
    match op {
        Op::Reserve(chunk) => {
            let there = |held: &Held| share(&blocks(&held.chunk), &blocks(chunk));
            let free = model.iter().filter(|held| there(held)).all(|held| held.chunk == *chunk);
            assert_eq!(ledger.reserve(chunk), free);
            if free {
                model.retain(|held| !there(held));
                model.push(Held { chunk: *chunk, settled: false });
            }
        }
        Op::Settle(chunk) => {
            ledger.settle(chunk);
            for held in model.iter_mut().filter(|held| held.chunk == *chunk) {
                held.settled = true;
            }
        }
        Op::Release(chunk) => {
            ledger.release(chunk);
            model.retain(|held| held.settled || held.chunk != *chunk);
        }
        Op::Forget(from, to) => {
            let freed = ledger.forget(*from..*to);
            let gone = |held: &Held| held.settled && share(&blocks(&held.chunk), &(*from..*to));
            // All of what was settled is given back, nothing of what is reserved.
            for held in model.iter() {
                let touched = freed.iter().any(|freed| share(freed, &blocks(&held.chunk)));
                assert_eq!(touched, gone(held), "{held:?} {freed:?}");
            }
            for block in *from..*to {
                let reserved = |held: &Held| !held.settled && blocks(&held.chunk).contains(&block);
                let given = freed.iter().any(|freed| freed.contains(&block));
                assert_eq!(given, !model.iter().any(reserved), "{block} {freed:?}");
            }
            model.retain(|held| !gone(held));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_knows_what_was_settled_and_nothing_else(ops in prop::collection::vec(op(), 1..60)) {
        let (mut ledger, mut model) = (Ledger::default(), Vec::new());
        for op in &ops {
            step(&mut ledger, &mut model, op);
            prop_assert_eq!(ledger.len(), model.len());
            for held in &model {
                prop_assert_eq!(ledger.knows(&held.chunk), held.settled);
                let other = ChunkInfo { digest: rafs::ChunkDigest([7; 32]), ..held.chunk };
                prop_assert!(!ledger.knows(&other));
            }
        }
    }
}
