//! A node claims pieces and then lies: the puller gets the right bytes, soon, and nothing else.
//!
//! The liar is at first the only one who is known to hold the task, so that the supernode cannot
//! but send the victim there.

use std::time::{Duration, Instant};

use testbed::{Bed, DockerRegistry, Hostile, Image, Manner, Node, Supernode};
use wire::control::{NodeSays, Told};

const REJECTED: &str = "meganeura_dfdaemon_pieces_rejected_total";

/// A pull that meets a liar takes no longer than this: the patience that one silent parent is given,
/// and the pull itself on a busy machine.
const SOON: Duration = Duration::from_secs(30);

struct Rig {
    _bed: Bed,
    registry: DockerRegistry,
    _supernode: Supernode,
    liar: Hostile,
    victim: Node,
    image: Image,
}

/// A supernode that lost its memory, to which the liar alone tells of a task, truly signed.
async fn rig(manner: Manner) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[20 << 20]);
    registry.push("demo/app", "v1", &image).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    let mut honest = bed.node("honest", &supernode).await?;
    supernode.until_nodes(1).await?;
    honest.pull(&registry.host(), "demo/app", "v1").await?;
    let mut liar = Hostile::join(&supernode, "liar", manner, image.layers()[0].clone()).await?;
    let opened = liar.open(&registry.host(), "demo/app", image.layer(0)).await?;

    honest.kill()?;
    liar.alone_has(&mut supernode, opened.statements).await?;
    let victim = bed.node("victim", &supernode).await?;
    supernode.until_nodes(2).await?;
    Ok(Rig { _bed: bed, registry, _supernode: supernode, liar, victim, image })
}

/// Pulls past a liar of this manner; how many pieces the victim rejected.
async fn pull_past(manner: Manner) -> anyhow::Result<u64> {
    let rig = rig(manner).await?;
    let host = rig.registry.host();
    let started = Instant::now();
    let pulled = tokio::time::timeout(SOON, rig.victim.pull(&host, "demo/app", "v1")).await;
    let pulled =
        pulled.map_err(|_| anyhow::anyhow!("{manner:?}: the pull hangs\n{}", rig.victim.log()))?;
    println!(
        "{manner:?}: pulled in {:?}, the liar was asked {} times",
        started.elapsed(),
        rig.liar.asked()
    );
    assert!(pulled? == rig.image.layers(), "{manner:?}: not what was pushed");
    assert!(rig.liar.asked() > 0, "{manner:?}: nobody asked the liar, so nothing was tested");
    let verified = rig.victim.metric("meganeura_dfdaemon_blobs_verified_total").await?;
    assert_eq!(verified, 2, "{manner:?}: layer and config");
    rig.victim.metric(REJECTED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_rejected() -> anyhow::Result<()> {
    assert!(pull_past(Manner::WrongBytes).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_with_a_proof_of_its_own_is_rejected() -> anyhow::Result<()> {
    assert!(pull_past(Manner::WrongProof).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_announces_too_much_is_rejected() -> anyhow::Result<()> {
    assert!(pull_past(Manner::TooLong).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_nobody_asked_for_are_rejected() -> anyhow::Result<()> {
    assert!(pull_past(Manner::TooMany).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_piece_than_the_one_asked_for_is_rejected() -> anyhow::Result<()> {
    assert!(pull_past(Manner::OtherPiece).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_piece_harms_nobody() -> anyhow::Result<()> {
    pull_past(Manner::TooFew).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_harms_nobody() -> anyhow::Result<()> {
    pull_past(Manner::Silent).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_a_second_harms_nobody() -> anyhow::Result<()> {
    pull_past(Manner::Trickle).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn claimed_pieces_that_are_not_there_harm_nobody() -> anyhow::Result<()> {
    pull_past(Manner::Missing).await.map(drop)
}

/// Pulls past a liar of this manner that stands among honest holders: the cache and a node.
async fn pull_among_honest(manner: Manner) -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[20 << 20]);
    registry.push("demo/app", "v1", &image).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let honest = bed.node("honest", &supernode).await?;
    supernode.until_nodes(1).await?;
    honest.pull(&registry.host(), "demo/app", "v1").await?;
    let mut liar = Hostile::join(&supernode, "liar", manner, image.layers()[0].clone()).await?;
    let opened = liar.open(&registry.host(), "demo/app", image.layer(0)).await?;
    liar.claim(opened.statements).await?;
    liar.say(NodeSays::Told(Told {})).await?;
    supernode.until_nodes(2).await?;
    let victim = bed.node("victim", &supernode).await?;
    supernode.until_nodes(3).await?;
    let started = Instant::now();
    let pulled = victim.pull(&registry.host(), "demo/app", "v1").await?;
    let took = started.elapsed();
    println!("{manner:?} among honest: pulled in {took:?}, it was asked {} times", liar.asked());
    assert!(pulled == image.layers());
    assert!(liar.asked() > 0, "nobody asked the liar, so nothing was tested");
    // What the liar was asked for is asked of others long before it is given up.
    assert!(took < Duration::from_secs(8), "the liar held it up for {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_among_honest_holders_is_gone_round() -> anyhow::Result<()> {
    pull_among_honest(Manner::Silent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_among_honest_holders_is_gone_round() -> anyhow::Result<()> {
    pull_among_honest(Manner::Trickle).await
}
