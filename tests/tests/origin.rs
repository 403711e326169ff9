//! What an origin may answer, through supernode and node: what is waited for, what is renewed, and
//! what the client is told.

use std::time::{Duration, Instant};

use testbed::{Bed, Fault, FaultyRegistry, Image, Node, Supernode};

const MIB: usize = 1 << 20;
const ORIGIN: &str = "meganeura_supernode_received_bytes_total{source=\"origin\"}";

struct Rig {
    _bed: Bed,
    registry: FaultyRegistry,
    supernode: Supernode,
    node: Node,
    image: Image,
}

async fn rig(layers: &[usize]) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let image = Image::random(layers);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let node = bed.node("n1", &supernode).await?;
    supernode.until_nodes(1).await?;
    Ok(Rig { _bed: bed, registry, supernode, node, image })
}

impl Rig {
    async fn blob(&self, layer: usize) -> anyhow::Result<testbed::web::Answer> {
        self.node.blob(&self.registry.host(), "app", self.image.layer(layer)).await
    }

    /// The blob with a client's own credential, from byte `start` on.
    async fn blob_as(
        &self,
        authorization: &str,
        start: usize,
    ) -> anyhow::Result<testbed::web::Answer> {
        let digest = self.image.layer(0);
        let target = format!("/v2/app/blobs/{digest}?ns={}", self.registry.host());
        let range = format!("bytes={start}-");
        let headers = [("authorization", authorization), ("range", range.as_str())];
        self.node.get(&target, &headers[..if start > 0 { 2 } else { 1 }]).await
    }

    fn blob_requests(&self) -> Vec<(String, Instant)> {
        let requests = self.registry.requests().into_iter().zip(self.registry.times());
        requests.filter(|(line, _)| line.contains("/blobs/")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_registry_is_asked_again_when_it_says() -> anyhow::Result<()> {
    let rig = rig(&[300_000]).await?;
    rig.registry.set(Fault::Busy { times: 1, status: 429, retry_after: Some(2) });
    let answer = rig.blob(0).await?;
    assert!(answer.complete && answer.body == rig.image.layers()[0], "{}", answer.text());
    let requests = rig.blob_requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    let waited = requests[1].1 - requests[0].1;
    assert!(waited >= Duration::from_secs(2), "asked again after {waited:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_busy_for_long_is_handed_through() -> anyhow::Result<()> {
    let rig = rig(&[300_000]).await?;
    rig.registry.set(Fault::Busy { times: 1000, status: 429, retry_after: Some(600) });
    let started = Instant::now();
    let answer = rig.blob(0).await?;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("600"));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "the client waited for {:?}",
        started.elapsed()
    );
    assert_eq!(rig.blob_requests().len(), 1, "it was asked again before it said");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_of_trouble_at_the_registry_is_not_noticed() -> anyhow::Result<()> {
    let rig = rig(&[300_000, 200_000]).await?;
    for (layer, status) in [(0, 500), (1, 503)] {
        rig.registry.set(Fault::Busy { times: 3, status, retry_after: None });
        let answer = rig.blob(layer).await?;
        let right = answer.complete && answer.body == rig.image.layers()[layer];
        assert!(right, "{status}: {} {}", answer.status, answer.text());
    }
    assert_eq!(rig.blob_requests().len(), 8);
    assert_eq!(rig.node.received("origin").await?, 0, "the node went there itself");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_in_lasting_trouble_is_told_of_and_forgotten() -> anyhow::Result<()> {
    let rig = rig(&[300_000]).await?;
    for status in [500, 503] {
        rig.registry.set(Fault::Status(status));
        let started = Instant::now();
        let answer = rig.blob(0).await?;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert!(started.elapsed() < Duration::from_secs(25), "{status}: {:?}", started.elapsed());
    }
    assert!(rig.blob_requests().len() <= 12, "a stampede: {:?}", rig.blob_requests());
    rig.registry.set(Fault::None);
    let answer = rig.blob(0).await?;
    assert!(answer.complete && answer.body == rig.image.layers()[0], "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ours_that_runs_out_in_mid_pull_is_renewed() -> anyhow::Result<()> {
    let rig = rig(&[5 * MIB]).await?;
    rig.registry.set(Fault::Tokens { realm: rig.registry.realm(), bytes: MIB });
    let answer = rig.blob(0).await?;
    assert!(answer.complete && answer.body == rig.image.layers()[0], "{}", answer.status);
    assert!(rig.registry.tokens() >= 5, "only {} tokens were needed", rig.registry.tokens());
    // The byte at which it was cut is the one where it goes on.
    assert!(rig.supernode.metric(ORIGIN).await? <= 5 * MIB as u64);
    Ok(())
}

/// Pulls the blob as a client whose tokens are good for 2 MiB each; how many new ones it needed.
async fn pull_by_tokens(rig: &Rig) -> anyhow::Result<usize> {
    rig.registry.set(Fault::Tokens { realm: rig.registry.realm(), bytes: 2 * MIB });
    let whole = &rig.image.layers()[0];
    let mut token = rig.registry.token();
    let mut body = Vec::new();
    let mut challenged = 0;
    for _ in 0..20 {
        let answer = rig.blob_as(&token, body.len()).await?;
        match answer.status.as_u16() {
            200 | 206 => {
                body.extend_from_slice(&answer.body);
                if answer.complete {
                    assert!(body == *whole, "other bytes than were pushed");
                    return Ok(challenged);
                }
            }
            401 => {
                let told = answer.header("www-authenticate").unwrap_or_default();
                assert!(told.contains(&rig.registry.realm()), "no challenge to meet: {told}");
                challenged += 1;
                token = rig.registry.token();
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    anyhow::bail!("it never came to an end: {} bytes, {challenged} challenges", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_token_runs_out_in_mid_pull_is_challenged_and_resumes() -> anyhow::Result<()>
{
    let rig = rig(&[5 * MIB]).await?;
    assert!(pull_by_tokens(&rig).await? > 0, "no token ran out");
    // What came before counts: the rest was resumed, not begun anew.
    let received = rig.supernode.metric(ORIGIN).await?;
    assert!(received < 6 * MIB as u64, "{received} bytes were read from the origin");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_of_a_node_without_a_supernode() -> anyhow::Result<()> {
    let mut rig = rig(&[5 * MIB]).await?;
    rig.supernode.kill()?;
    // It is waited for a while, before the node helps itself.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(pull_by_tokens(&rig).await? > 0, "no token ran out");
    let received = rig.node.received("origin").await?;
    assert!(received < 6 * MIB as u64, "{received} bytes were read from the origin");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_realm_elsewhere_is_not_asked() -> anyhow::Result<()> {
    let rig = rig(&[300_000]).await?;
    let elsewhere = FaultyRegistry::start(&rig.image, Fault::None).await?;
    for realm in [
        elsewhere.realm(),
        elsewhere.realm().replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest/meta-data/iam".to_owned(),
    ] {
        rig.registry.set(Fault::Tokens { realm: realm.clone(), bytes: MIB });
        let answer = rig.blob(0).await?;
        assert!(answer.status.is_client_error(), "{realm}: {}", answer.status);
        assert!(answer.body != rig.image.layers()[0]);
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new(), "it was asked for a token");
    Ok(())
}
