//! Whatever dies dies in mid-pull, and comes back: what is pulled is right all the same, and nothing
//! is left behind. A few rounds here; `make soak` plays many.
//!
//! `MEGANEURA_SEED` repeats a game.

use std::time::Duration;

use content::Digest;
use futures_util::future::join_all;
use testbed::{Bed, DockerRegistry, Image, Node, Supernode};

const MIB: usize = 1 << 20;
const ROUNDS: u64 = if cfg!(feature = "soak") { 150 } else { 4 };

/// Numbers that look random, the same again for the same seed.
struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    fn new() -> Self {
        let told = std::env::var("MEGANEURA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = told.unwrap_or_else(|| u64::from(std::process::id()));
        println!("MEGANEURA_SEED={seed}");
        Self { seed, thrown: 0 }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.thrown += 1;
        let thrown = Digest::of(format!("{}/{}", self.seed, self.thrown).as_bytes());
        let first = thrown.as_bytes().first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first) % end
    }
}

struct Game {
    registry: DockerRegistry,
    supernode: Supernode,
    nodes: Vec<Node>,
    dice: Dice,
}

impl Game {
    /// All pull a new image; somebody is killed meanwhile.
    async fn round(&mut self, number: u64) -> anyhow::Result<()> {
        let layers = [4 * MIB, 2 * MIB, 30_000].map(|length| length + self.roll(MIB));
        let (image, tag) = (Image::random(&layers), format!("v{number}"));
        self.registry.push("demo/app", &tag, &image).await?;
        let victim = self.roll(self.nodes.len() + 1);
        let after = Duration::from_millis(self.dice.below(1500));
        println!("round {number}: {victim} dies after {after:?}");
        let host = self.registry.host();
        let (doomed, living): (Vec<_>, Vec<_>) =
            self.nodes.iter_mut().enumerate().partition(|(at, _)| *at == victim);
        let pulls = living.iter().map(|(_, node)| node.pull(&host, "demo/app", &tag));
        let supernode = &mut self.supernode;
        let killing = async {
            let target = format!("/v2/demo/app/blobs/{}?ns={host}", image.layer(0));
            let begun = doomed
                .iter()
                .map(|(_, node)| (node.mirror(), target.clone()))
                .map(|(mirror, target)| {
                    tokio::spawn(async move { testbed::web::get(mirror, &target, &[]).await })
                })
                .collect::<Vec<_>>();
            tokio::time::sleep(after).await;
            if doomed.is_empty() {
                supernode.kill()?;
            }
            for (_, node) in doomed {
                node.kill()?;
            }
            for answer in begun {
                // Whatever came of it: it was not complete and wrong.
                let answer = answer.await?;
                let wrong = answer.is_ok_and(|it| it.complete && it.body != image.layers()[0]);
                anyhow::ensure!(!wrong, "the one that died gave out wrong bytes as complete");
            }
            anyhow::Ok(())
        };
        let (pulled, killed) = tokio::join!(join_all(pulls), killing);
        killed?;
        for (pulled, (at, node)) in pulled.into_iter().zip(&living) {
            let pulled =
                pulled.map_err(|error| error.context(format!("node {at}\n{}", node.log())))?;
            anyhow::ensure!(pulled == image.layers(), "node {at} gave other layers");
        }
        self.revive(victim).await?;
        for node in &self.nodes {
            anyhow::ensure!(node.pull(&host, "demo/app", &tag).await? == image.layers());
        }
        Ok(())
    }

    async fn revive(&mut self, victim: usize) -> anyhow::Result<()> {
        match self.nodes.get_mut(victim) {
            Some(node) => node.start().await?,
            None => self.supernode.start().await?,
        }
        self.supernode.until_nodes(self.nodes.len() as u64).await
    }

    fn roll(&mut self, end: usize) -> usize {
        usize::try_from(self.dice.below(end as u64)).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_in_mid_pull_harms_nobody() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let slow = "nodes.upload_limit = \"8MiB/s\"\nstore.quota = \"64MiB\"";
    let supernode = bed.supernode_with(&registry.site(), slow).await?;
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3", "n4"] {
        nodes.push(bed.node_with(name, &supernode, "store.quota = \"48MiB\"").await?);
    }
    let mut game = Game { registry, supernode, nodes, dice: Dice::new() };
    for number in 0..ROUNDS {
        game.round(number).await?;
    }
    for node in &game.nodes {
        assert_eq!(node.metric("meganeura_dfdaemon_pieces_rejected_total").await?, 0);
        let memory = node.metric("meganeura_dfdaemon_process_resident_memory_bytes").await?;
        println!("{}: {} MiB resident", node.name(), memory >> 20);
        assert!(memory < 256 << 20, "{} holds {memory} bytes of memory", node.name());
    }
    Ok(())
}
