//! A peer lies beneath a lazy mount: the reader gets the right bytes or an error, and soon.
//!
//! As in `hostile/lies.rs`, the liar is the only one who is known to hold the data blob, so that the
//! supernode cannot but send the node there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use content::Digest;
use testbed::{Hostile, Manner, Supernode};

use super::*;

const REJECTED: &str = "meganeura_dfdaemon_pieces_rejected_total";

/// What one reader may wait for, as it is mounted.
const LIMIT: Duration = Duration::from_secs(12);

/// A read that fails comes back within this time: the limit, short tries of the kernel, and a busy
/// machine. What hangs would never come.
const BACK_WITHIN: Duration = Duration::from_secs(60);

struct Rig {
    bed: Bed,
    registry: DockerRegistry,
    supernode: Supernode,
    liar: Hostile,
    victim: Node,
    /// What the large file has.
    bytes: Vec<u8>,
    data: Bytes,
}

/// A supernode that lost its memory, to which the liar alone tells of the data blob, truly signed.
async fn rig(manner: Manner) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let config = docker(&bed, &registry, "none")?;
    let bytes = pushed(&bed, &registry, &config)?;
    let data = data_blob(&registry).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    let mut honest = bed.node("honest", &supernode).await?;
    supernode.until_nodes(1).await?;
    let had = honest.blob(&registry.host(), "team/app", Digest::of(&data)).await?;
    ensure!(had.complete && had.body == data, "the honest node does not get it");
    let mut liar = Hostile::join(&supernode, "liar", manner, data.clone()).await?;
    let opened = liar.open(&registry.host(), "team/app", Digest::of(&data)).await?;

    honest.kill()?;
    liar.alone_has(&mut supernode, opened.statements).await?;
    let victim = bed.node("victim", &supernode).await?;
    supernode.until_nodes(2).await?;
    Ok(Rig { bed, registry, supernode, liar, victim, bytes, data })
}

/// The image's largest blob, as the registry has it.
async fn data_blob(registry: &DockerRegistry) -> anyhow::Result<Bytes> {
    let accept = [("accept", "application/vnd.oci.image.manifest.v1+json")];
    let get = async |what: String, headers: &[(&str, &str)]| {
        let target = format!("/v2/team/app/{what}");
        let answer = testbed::web::get(registry.address(), &target, headers).await?;
        ensure!(answer.status == 200, "GET {target}: {}", answer.status);
        anyhow::Ok(answer.body)
    };
    let manifest = get("manifests/v1".into(), &accept).await?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let largest = layers.max_by_key(|layer| layer["size"].as_u64());
    let digest = largest.and_then(|layer| layer["digest"].as_str());
    get(format!("blobs/{}", digest.unwrap_or_default()), &[]).await
}

fn mounted(rig: &Rig) -> anyhow::Result<Mounted> {
    let limit = LIMIT.as_secs().to_string();
    Mounted::new(&rig.bed, &rig.victim, &rig.registry, &["--read-limit", &limit])
}

async fn a_reader_gets_the_right_bytes(manner: Manner) -> anyhow::Result<()> {
    let rig = rig(manner).await?;
    let mount = mounted(&rig)?;
    let started = Instant::now();
    ensure!(mount.big()? == rig.bytes, "{manner:?}: other bytes");
    eprintln!("{manner:?}: read in {:?}", started.elapsed());
    ensure!(started.elapsed() < BACK_WITHIN, "{manner:?}: the liar held it up");
    ensure!(rig.liar.asked() > 0, "{manner:?}: nobody asked the liar, so nothing was tested");
    ensure!(rig.victim.metric(REJECTED).await? > 0, "{manner:?}: nothing was rejected");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_of_a_peer_never_reach_a_reader() -> anyhow::Result<()> {
    if can_mount() {
        a_reader_gets_the_right_bytes(Manner::WrongBytes).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_with_a_proof_of_their_own_never_reach_a_reader() -> anyhow::Result<()> {
    if can_mount() {
        a_reader_gets_the_right_bytes(Manner::WrongProof).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_holds_no_reader_up() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let rig = rig(Manner::Silent).await?;
    let mount = mounted(&rig)?;
    let started = Instant::now();
    ensure!(mount.big()? == rig.bytes, "other bytes");
    ensure!(started.elapsed() < BACK_WITHIN, "it was held up for {:?}", started.elapsed());
    ensure!(rig.liar.asked() > 0, "nobody asked the liar, so nothing was tested");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_liar_alone_a_read_fails_and_never_has_wrong_bytes() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mut rig = rig(Manner::WrongBytes).await?;
    // The supernode has just seen that anybody may have the blob, and keeps nothing of it.
    rig.liar.open(&rig.registry.host(), "team/app", Digest::of(&rig.data)).await?;
    let mount = mounted(&rig)?;
    rig.registry.process().kill()?;
    let started = Instant::now();
    let read = mount.big();
    let took = started.elapsed();
    let Err(error) = read else {
        anyhow::bail!("{} bytes came from nowhere", read?.len());
    };
    eprintln!("{error} after {took:?}, the liar was asked {} times", rig.liar.asked());
    ensure!(error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()), "{error}");
    ensure!(took < BACK_WITHIN, "it failed after {took:?}");
    ensure!(rig.liar.asked() > 0, "nobody asked the liar, so nothing was tested");
    ensure!(rig.victim.metric(REJECTED).await? > 0, "nothing was rejected");
    rig.supernode.kill()?;
    Ok(())
}
