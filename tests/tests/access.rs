//! Whose bytes are whose: two facts, or nothing.

use std::time::Duration;

use testbed::registry::basic;
use testbed::{Bed, Fault, FaultyRegistry, Image};

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_node_gives_a_private_image_only_to_those_the_registry_would() -> anyhow::Result<()>
{
    let bed = Bed::new()?;
    let registry = bed.registry().user("alice", "right").start().await?;
    let image = Image::random(&[2_000_000, 5000]);
    registry.push("private/app", "v1", &image).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node("n1", &supernode).await?;
    let host = registry.host();
    let alice = basic("alice", "right");
    let headers = [("authorization", alice.as_str())];
    let pulled = node.pull_as(&host, "private/app", "v1", &headers).await?;
    assert!(pulled == image.layers());

    let mallory = basic("alice", "wrong");
    for headers in [vec![], vec![("authorization", mallory.as_str())]] {
        for target in [
            format!("/v2/private/app/manifests/v1?ns={host}"),
            format!("/v2/private/app/manifests/{}?ns={host}", image.digest()),
            format!("/v2/private/app/blobs/{}?ns={host}", image.layer(0)),
            format!("/v2/private/app/blobs/{}?ns={host}", image.layer(1)),
        ] {
            let answer = node.get(&target, &headers).await?;
            assert_eq!(answer.status, 401, "{target} {headers:?}");
            // The registry's own challenge, so that the client knows whom to ask.
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.contains("Basic realm=\"test\""), "{challenge:?}");
        }
    }
    let secret = alice.trim_start_matches("Basic ");
    for log in [node.log(), supernode.log()] {
        assert!(!log.contains(secret), "a credential is in a log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_names_a_foreign_digest_proves_nothing() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let private = bed.registry().user("alice", "right").start().await?;
    let secret = Image::random(&[500_000]);
    private.push("private/app", "v1", &secret).await?;
    // The attacker's own registry serves a manifest that lists the private layer, and has no layer.
    let attackers = FaultyRegistry::start(&secret, Fault::Status(404)).await?;
    let sites = private.site().and(&attackers.site());
    let supernode = bed.supernode(&sites).await?;
    let node = bed.node("n1", &supernode).await?;
    let alice = basic("alice", "right");
    let headers = [("authorization", alice.as_str())];
    node.pull_as(&private.host(), "private/app", "v1", &headers).await?;

    let evil = attackers.host();
    let digest = secret.digest();
    for reference in ["v1".to_owned(), digest.to_string()] {
        let target = format!("/v2/evil/app/manifests/{reference}?ns={evil}");
        let granted = node.get(&target, &[]).await?;
        assert_eq!(granted.status, 200, "the attacker may read its own repository");
    }
    let layer = node.blob(&evil, "evil/app", secret.layer(0)).await?;
    assert_eq!(layer.status, 404, "a private layer went out through another's repository");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_credential_stops_within_its_time() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().user("alice", "right").start().await?;
    let image = Image::random(&[300_000]);
    registry.push("private/app", "v1", &image).await?;
    let times = "access.readable = \"2s\"";
    let supernode = bed.supernode_with(&registry.site(), times).await?;
    let node = bed.node("n1", &supernode).await?;
    let alice = basic("alice", "right");
    let headers = [("authorization", alice.as_str())];
    let host = registry.host();
    node.pull_as(&host, "private/app", "v1", &headers).await?;

    registry.revoke("alice")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let target = format!("/v2/private/app/blobs/{}?ns={host}", image.layer(0));
    assert_eq!(node.get(&target, &headers).await?.status, 401);
    Ok(())
}
