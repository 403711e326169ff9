//! The control stream, abused: the supernode goes on, and so do the others.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use content::{Digest, PieceSet};
use testbed::{Bed, DockerRegistry, Hostile, Image, Manner, Node, Supernode};
use wire::Statement;
use wire::control::{Ended, FromNode, Has, Hello, Lost, NodeSays, Outcome, Told, Unwant, Want};

const MIB: usize = 1 << 20;
const MEMORY: &str = "meganeura_supernode_process_resident_memory_bytes";
const HEARD: &str = "meganeura_supernode_node_messages_total";

/// What the supernode may grow by while one node abuses it, in bytes.
const GROWTH: u64 = 100 << 20;

struct Rig {
    _bed: Bed,
    registry: DockerRegistry,
    supernode: Supernode,
    node: Node,
    hostile: Hostile,
    image: Image,
}

async fn rig(supernode: &str) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[20 * MIB, 5 * MIB]);
    registry.push("demo/app", "v1", &image).await?;
    let supernode = bed.supernode_with(&registry.site(), supernode).await?;
    let node = bed.node("n1", &supernode).await?;
    let bytes = image.layers()[0].clone();
    let hostile = Hostile::join(&supernode, "hostile", Manner::Missing, bytes).await?;
    Ok(Rig { _bed: bed, registry, supernode, node, hostile, image })
}

impl Rig {
    /// An honest node's pull is right and does not hang; and the supernode never stumbled.
    async fn pull(&self) -> anyhow::Result<()> {
        let host = self.registry.host();
        let pull = self.node.pull(&host, "demo/app", "v1");
        let pulled = tokio::time::timeout(Duration::from_secs(40), pull).await;
        let pulled = pulled.map_err(|_| anyhow::anyhow!("the pull hangs"))?;
        assert!(pulled? == self.image.layers());
        assert_eq!(self.node.received("origin").await?, 0, "the supernode did not see to it");
        assert!(!self.supernode.log().contains("panicked"), "{}", self.supernode.log());
        Ok(())
    }

    /// Says something, on a new conversation where the supernode has ended the last one.
    async fn say(&mut self, says: NodeSays) -> anyhow::Result<()> {
        if self.hostile.say(says.clone()).await.is_err() {
            self.hostile.rejoin(&self.supernode).await?;
            self.hostile.say(says).await?;
        }
        Ok(())
    }

    /// Waits until the supernode has heard all that was said, and still takes the node in.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let mut heard = 0;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let before = std::mem::replace(&mut heard, self.supernode.metric(HEARD).await?);
            if heard == before {
                self.hostile.rejoin(&self.supernode).await?;
                self.hostile.say(NodeSays::Told(Told {})).await?;
                return self.supernode.until_nodes(2).await;
            }
        }
        anyhow::bail!("the supernode is still busy with what was said half a minute ago")
    }

    /// How many things of a kind the supernode did not believe.
    async fn refused(&self, what: &str) -> anyhow::Result<u64> {
        let name = "meganeura_supernode_node_messages_refused_total";
        self.supernode.metric(&format!("{name}{{what=\"{what}\"}}")).await
    }
}

fn frame(body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_slice(body);
    out.freeze()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_the_conversation_and_nothing_else() -> anyhow::Result<()> {
    let rig = rig("").await?;
    let unwant = NodeSays::Unwant(Unwant::default());
    let no_hello = wire::frame::to_bytes(&FromNode { says: Some(unwant) });
    for (what, bytes) in [
        ("no protobuf", frame(&[0xff; 100])),
        ("an empty message", frame(&[])),
        ("no hello", no_hello),
        ("no frame", testbed::image::random(100_000)),
        ("an oversized frame", Bytes::from_static(&[0xff; 8])),
        ("a frame of 7 MiB", frame(&vec![0; 7 * MIB])),
    ] {
        rig.hostile.babble(bytes).await.map_err(|error| error.context(what))?;
    }
    rig.pull().await
}

#[tokio::test(flavor = "multi_thread")]
async fn wants_beyond_all_bounds_are_cut_or_refused() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    let layer = rig.image.layer(0);
    rig.hostile.open(&rig.registry.host(), "demo/app", layer).await?;
    for task in [layer, Digest::of(b"unknown")] {
        for (first, end, reader_at) in [
            (0, u32::MAX, 0),
            (0, u32::MAX, u32::MAX),
            (u32::MAX - 1, u32::MAX, u32::MAX),
            (u32::MAX, u32::MAX, 0),
            (1000, 2000, u32::MAX),
        ] {
            for priority in [0, 3, 99, -1] {
                let task = task.to_string();
                rig.say(NodeSays::Want(Want { task, first, end, reader_at, priority })).await?;
            }
        }
        let (task, pieces) = (task.to_string(), vec![0xff; 5 * MIB]);
        rig.say(NodeSays::Lost(Lost { task: task.clone(), pieces })).await?;
        rig.say(NodeSays::Unwant(Unwant { task })).await?;
    }
    rig.settle().await?;
    assert_eq!(rig.refused("want").await?, 20, "what was never opened was wanted, and scheduled");
    rig.pull().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_talks_nonsense_is_not_talked_to() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    let task = rig.image.layer(0).to_string();
    let backwards = Want { task: task.clone(), first: 5, end: 3, reader_at: 0, priority: 1 };
    let no_cut = Has { task, length: u64::MAX, piece_size: 1, ..Has::default() };
    for nonsense in [
        NodeSays::Want(backwards),
        NodeSays::Want(Want { task: "rubbish".into(), ..Want::default() }),
        NodeSays::Unwant(Unwant::default()),
        NodeSays::Lost(Lost { task: "sha256:zz".into(), pieces: vec![0xff; 5 * MIB] }),
        NodeSays::Has(no_cut),
    ] {
        rig.hostile.offend(nonsense).await?;
        rig.hostile.rejoin(&rig.supernode).await?;
    }
    rig.settle().await?;
    rig.pull().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_cut_of_an_unknown_task_is_not_believed() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    let signed = rig.hostile.open(&rig.registry.host(), "demo/app", rig.image.layer(1)).await?;
    let garbage = Statement { body: vec![7; 60], signature: vec![7; 64] };
    // Of a task that the supernode does not know yet: no word, a rubbish one, one of another task.
    for statements in [vec![], vec![garbage.clone()], signed.statements.clone()] {
        for (length, piece_size) in [(5, 65_536), (1 << 40, 65_536), (20 * MIB as u64, 65_536)] {
            rig.say(NodeSays::Has(Has {
                task: rig.image.layer(0).to_string(),
                length,
                piece_size,
                pieces: vec![0xff; 1000],
                statements: statements.clone(),
            }))
            .await?;
        }
    }
    rig.settle().await?;
    assert_eq!(rig.refused("claim").await?, 9);
    rig.pull().await?;
    // And of one that it knows.
    rig.say(NodeSays::Has(Has {
        task: rig.image.layer(0).to_string(),
        length: 1 << 30,
        piece_size: 1 << 20,
        pieces: vec![0xff; 128],
        statements: vec![garbage],
    }))
    .await?;
    rig.settle().await?;
    assert_eq!(rig.refused("claim").await?, 10);
    rig.pull().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_beside_true_statements_costs_no_second_copy() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    rig.pull().await?;
    let before = rig.registry.blob_bytes();
    rig.supernode.kill()?;
    rig.supernode.forget()?;
    rig.supernode.start().await?;
    rig.hostile.rejoin(&rig.supernode).await?;
    for layer in [0, 1] {
        rig.say(NodeSays::Has(Has {
            task: rig.image.layer(layer).to_string(),
            length: rig.image.layers()[layer].len() as u64,
            piece_size: 65_536,
            pieces: Vec::new(),
            statements: vec![Statement { body: vec![7; 60], signature: vec![7; 64] }],
        }))
        .await?;
    }
    rig.settle().await?;
    let late = rig._bed.node("late", &rig.supernode).await?;
    let pulled = late.pull(&rig.registry.host(), "demo/app", "v1").await?;
    assert!(pulled == rig.image.layers());
    assert_eq!(rig.refused("statement").await?, 2);
    let again = rig.registry.blob_bytes() - before;
    assert!(again < MIB as u64, "{again} bytes came from the origin once more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ends_the_leases_of_another() -> anyhow::Result<()> {
    let mut rig = rig("nodes.upload_limit = \"8MiB/s\"").await?;
    // From its own lease it knows the numbers that come next.
    rig.hostile.open(&rig.registry.host(), "demo/app", rig.image.layer(1)).await?;
    let task = rig.image.layer(1).to_string();
    let want = Want { task, first: 0, end: 1, reader_at: 0, priority: 1 };
    rig.hostile.say(NodeSays::Want(want)).await?;
    let mut first = None;
    for _ in 0..100 {
        first = rig.hostile.leases().first().map(|lease| lease.lease);
        if first.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let first = first.ok_or_else(|| anyhow::anyhow!("no lease"))?;
    let all = PieceSet::all(1000).to_bytes();
    let host = rig.registry.host();
    let ending = async {
        for _ in 0..20 {
            for lease in first..first + 500 {
                for outcome in [Outcome::Done, Outcome::WrongBytes] {
                    let ended = Ended {
                        lease,
                        pieces: all.clone(),
                        bytes: 1,
                        millis: 1,
                        outcome: outcome.into(),
                    };
                    rig.hostile.say(NodeSays::Ended(ended)).await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    let pull =
        tokio::time::timeout(Duration::from_secs(40), rig.node.pull(&host, "demo/app", "v1"));
    let (ended, pulled) = tokio::join!(ending, pull);
    ended?;
    let pulled =
        pulled.map_err(|_| anyhow::anyhow!("the pull hangs: its leases were ended by another"))?;
    assert!(pulled? == rig.image.layers());
    assert!(!rig.supernode.log().contains("set aside"), "an honest parent was slandered");
    assert!(rig.refused("end").await? > 0, "no number was another's, so nothing was tested");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_claims_cost_no_memory() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    rig.pull().await?;
    let before = rig.supernode.metric(MEMORY).await?;
    for number in 0..10_000_u32 {
        // Now a new task, now one with a long map, now one with much that nobody signed.
        let statement = Statement { body: vec![7; 4000], signature: number.to_be_bytes().to_vec() };
        let has = Has {
            task: Digest::of(&number.to_be_bytes()).to_string(),
            length: 1 << 34,
            piece_size: 65_536,
            pieces: vec![0xff; if number % 100 == 0 { 100_000 } else { 10 }],
            statements: vec![statement; 4],
        };
        rig.say(NodeSays::Has(has)).await?;
    }
    rig.settle().await?;
    assert_eq!(rig.refused("claim").await?, 10_000);
    let grown = rig.supernode.metric(MEMORY).await?.saturating_sub(before);
    println!("10 000 claims: grown by {} MiB", grown >> 20);
    assert!(grown < GROWTH, "the supernode grew by {grown} bytes");
    let late = rig._bed.node("late", &rig.supernode).await?;
    assert!(late.pull(&rig.registry.host(), "demo/app", "v1").await? == rig.image.layers());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_of_unknown_leases_harm_nobody() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    let before = rig.supernode.metric(HEARD).await?;
    for lease in [0, 1, 2, 1 << 32, u64::MAX - 1, u64::MAX] {
        for outcome in -1..10 {
            let ended =
                Ended { lease, pieces: vec![0xff; 5000], bytes: u64::MAX, millis: 0, outcome };
            rig.say(NodeSays::Ended(ended)).await?;
        }
    }
    rig.settle().await?;
    assert!(rig.supernode.metric(HEARD).await? >= before + 66, "not all of it was heard");
    rig.pull().await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_said_messages_cost_no_memory() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    let before = rig.supernode.metric(MEMORY).await?;
    let hello = Hello { address: "127.0.0.1:1".into(), ..Hello::default() };
    let hello = wire::frame::to_bytes(&FromNode { says: Some(NodeSays::Hello(hello)) });
    let mut half = BytesMut::new();
    half.put_u32(u32::try_from(6 * MIB)?);
    half.put_bytes(7, 5 * MIB);
    let mut held = Vec::new();
    for number in 0..100 {
        let mut bytes = BytesMut::from(if number % 2 == 0 { &hello[..] } else { b"" });
        bytes.put_slice(&half);
        held.push(rig.hostile.begin(bytes.freeze()).await?);
    }
    let grown = rig.supernode.metric(MEMORY).await?.saturating_sub(before);
    println!("{} half messages of 5 MiB: grown by {} MiB", held.len(), grown >> 20);
    assert!(grown < GROWTH, "the supernode grew by {grown} bytes");
    rig.settle().await?;
    rig.pull().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_read_is_cut_off() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    rig.hostile.open(&rig.registry.host(), "demo/app", rig.image.layer(0)).await?;
    rig.hostile.stop_reading();
    let task = rig.image.layer(0).to_string();
    for round in 0..20_000 {
        let want = Want { task: task.clone(), first: 0, end: 160, reader_at: 0, priority: 1 };
        let unwant = Unwant { task: task.clone() };
        let (said, unsaid) = (NodeSays::Want(want), NodeSays::Unwant(unwant));
        if rig.hostile.say(said).await.is_err() || rig.hostile.say(unsaid).await.is_err() {
            break;
        }
        // A pause for the plan, in which leases are given.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if round % 100 == 0 && rig.supernode.log().contains("cut off: it does not read") {
            return rig.pull().await;
        }
    }
    anyhow::bail!("what is said to it piles up")
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_for_what_is_not_there_cost_no_memory() -> anyhow::Result<()> {
    let rig = rig("").await?;
    let before = rig.supernode.metric(MEMORY).await?;
    let host = rig.registry.host();
    for number in 0..200_u32 {
        let asked = (0..10_u32).map(|part| {
            let digest = Digest::of(&[number.to_be_bytes(), part.to_be_bytes()].concat());
            rig.hostile.open(&host, "demo/app", digest)
        });
        let answers = futures_util::future::join_all(asked).await;
        anyhow::ensure!(answers.iter().all(Result::is_err), "it gave what is not there");
    }
    let grown = rig.supernode.metric(MEMORY).await?.saturating_sub(before);
    println!("2000 questions: grown by {} MiB", grown >> 20);
    assert!(grown < GROWTH, "the supernode grew by {grown} bytes");
    rig.pull().await
}
