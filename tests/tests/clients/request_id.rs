//! One request's id on its whole way: client, mirror, supernode, registry.
//!
//! The registry stands behind an nginx, as many do, whose access log tells the id.

use http::Method;
use testbed::registry::basic;
use testbed::{Bed, DockerRegistry, Image, Nginx, Site};

use crate::rig::{APP, REGISTRY, Rig, path};

const MIB: usize = 1 << 20;

/// What answers, behind it what has the image, and an image with a blob of many pieces.
async fn rig(image: &Image) -> anyhow::Result<(Nginx, DockerRegistry, Rig)> {
    let bed = Bed::new()?;
    let registry = bed.registry().user("ann", "secret").start().await?;
    registry.push(APP, "v1", image).await?;
    let nginx = Nginx::start(&bed, registry.address()).await?;
    let rig = Rig::of(bed, &Site::http(REGISTRY, nginx.host().parse()?), "").await?;
    Ok((nginx, registry, rig))
}

/// The lines of a log that tell the id.
fn telling<'a>(log: &'a str, id: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_in_the_logs_of_node_supernode_and_registry() -> anyhow::Result<()> {
    let image = Image::random(&[3 * MIB, 1000]);
    let (nginx, _registry, rig) = rig(&image).await?;
    let ann = ("authorization", &*basic("ann", "secret"));
    let digest = image.digest();
    for (id, method, what, at_the_registry) in [
        ("tag", Method::HEAD, path("manifests", "v1"), "HEAD"),
        ("manifest", Method::GET, path("manifests", digest), "GET"),
        ("large", Method::GET, path("blobs", image.layer(0)), "GET"),
        ("small", Method::GET, path("blobs", image.layer(1)), "GET"),
        ("tags", Method::GET, path("tags", "list"), "GET"),
    ] {
        let id = format!("client-{id}-1");
        let answer = rig.send(method, &what, &[ann, ("x-request-id", &id)]).await?;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
        assert!(!telling(&rig.node.log(), &id).is_empty(), "the node does not tell {id}");
        assert!(!telling(&rig.supernode.log(), &id).is_empty(), "the supernode does not tell {id}");
        let line = format!("{at_the_registry} {what} 200 {id}");
        assert!(nginx.access().contains(&line), "no {line:?} in {:#?}", nginx.access());
    }
    // No request of ours goes without an id, and no secret comes with one.
    for line in nginx.access().iter().filter(|line| !line.starts_with("GET /v2/ ")) {
        assert!(line.contains(" client-"), "{line}");
    }
    let logs = rig.node.log() + &rig.supernode.log();
    assert!(!logs.contains(ann.1.trim_start_matches("Basic ")), "a log tells the credential");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_client_does_not_give_is_made_and_outlives_the_supernode()
-> anyhow::Result<()> {
    let image = Image::random(&[2 * MIB, 200_000]);
    let (nginx, _registry, mut rig) = rig(&image).await?;
    let ann = ("authorization", &*basic("ann", "secret"));
    let mut answers = vec![rig.get(&path("blobs", image.layer(0)), &[ann]).await?];
    // The node asks the registry itself, and tells it the same id as everybody else.
    rig.supernode.kill()?;
    let not_an_id = ("x-request-id", "no; id");
    answers.push(rig.get(&path("blobs", image.layer(1)), &[ann, not_an_id]).await?);
    for (layer, answer) in answers.iter().enumerate() {
        assert!(answer.complete && answer.body == image.layers()[layer], "layer {layer}");
        let id = answer.header("x-request-id").unwrap_or_default();
        assert_eq!(id.len(), 16, "{id}: an id of our own");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(!telling(&rig.node.log(), id).is_empty(), "the node does not tell {id}");
        let line = format!("GET {} 200 {id}", path("blobs", image.layer(layer)));
        assert!(nginx.access().contains(&line), "no {line:?} in {:#?}", nginx.access());
    }
    Ok(())
}
