//! A node that poses as a supernode is not spoken to.

use std::time::Duration;

use testbed::{Bed, Hostile, Image, Manner};

struct Rig {
    bed: Bed,
    registry: testbed::DockerRegistry,
    supernode: testbed::Supernode,
    poser: Hostile,
    image: Image,
}

async fn rig() -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[500_000]);
    registry.push("demo/app", "v1", &image).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let poser =
        Hostile::join(&supernode, "poser", Manner::Missing, image.layers()[0].clone()).await?;
    Ok(Rig { bed, registry, supernode, poser, image })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_does_not_speak_to_a_node_that_poses_as_its_supernode() -> anyhow::Result<()> {
    let rig = rig().await?;
    let mut victim = rig.bed.node("victim", &rig.supernode).await?;
    // Once it has spoken to its supernode, it has kept who it is.
    rig.supernode.until_nodes(1).await?;
    victim.kill()?;
    let file = victim.dir().join("state/identity.json");
    let mut identity: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    identity["supernodes"] = serde_json::json!([rig.poser.address()]);
    std::fs::write(&file, identity.to_string())?;
    let before = victim.log().matches("connected").count();
    victim.start().await?;

    // It tries again and again; each time the handshake is its last word.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(victim.log().contains("not reached"), "it did not even try: {}", victim.log());
    assert_eq!(victim.log().matches("connected").count(), before, "{}", victim.log());
    assert_eq!(victim.metric("meganeura_dfdaemon_supernode_connected").await?, 0);
    // A pull goes round: what the client asked for is told to the registry, not to the poser.
    let pulled = victim.pull(&rig.registry.host(), "demo/app", "v1").await?;
    assert!(pulled == rig.image.layers());
    assert!(victim.received("origin").await? >= 500_000);
    assert_eq!(rig.poser.asked(), 0, "the poser was spoken to");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_tells_a_poser_nothing() -> anyhow::Result<()> {
    let rig = rig().await?;
    let (cluster, _) = rig.supernode.join().split_once('@').unwrap_or_default();
    let misled = format!("{cluster}@{}", rig.poser.address());
    let joined = transport::join(&misled.parse()?, "victim").await;
    assert!(joined.is_err(), "it joined at a node: {joined:?}");
    assert_eq!(rig.poser.asked(), 0, "the poser was spoken to");
    // With the supernode's own address beside the poser's, the node finds its way.
    let (_, right) = rig.supernode.join().split_once('@').unwrap_or_default();
    let both = format!("{misled},{right}");
    assert!(transport::join(&both.parse()?, "victim").await.is_ok());
    Ok(())
}
