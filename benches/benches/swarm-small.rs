//! Eight nodes and a cold cluster pull one image at once, over links of 100 Mbit/s each way: the
//! time until the last node has the last byte, against the least that the links allow.
//!
//! The supernode's link is as narrow as a node's: what the swarm is for. The bound is then the time
//! in which one copy passes through any one of the links, B_fluid = max(S/U, S/d, N·S/(U + Σu)) =
//! S/c, with all nodes' uplinks at work for N/(N+1) of it. The rate c is what a plain transfer over
//! one of these links had, in the same round.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::blob::BlobFile;
use benches::client::Client;
use benches::net::{Link, Net, isolated};
use benches::nginx::{AccessLog, Files, Nginx};
use benches::report::{Report, Row};
use benches::usage::cpu_seconds;
use content::Digest;
use serde_json::json;
use testbed::{Bed, Node, Spot, Supernode};
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;
const NODES: usize = 8;
const MBIT: u32 = 100;
const REPOSITORY: &str = "bench/image";
const MIB: u64 = 1 << 20;
/// 256 MiB, as layers go: a large one, some middling, a small one.
const LAYERS: [u64; 5] = [128 * MIB, 64 * MIB, 40 * MIB, 20 * MIB, 4 * MIB - 4096];
/// As containerd has it.
const AT_ONCE: usize = 3;

fn main() -> anyhow::Result<()> {
    isolated(measure)
}

fn measure() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let bed = Bed::new()?.quiet();
    let mut net = Net::new()?;
    let link = Link { up: MBIT, down: MBIT };
    let image = Image::new()?;
    let origin = image.serve(&bed, &net.host(link)?)?;
    let mut cluster = runtime.block_on(Cluster::start(&bed, &mut net, link, &origin))?;

    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let measured = cluster.round(&image, &origin)?;
        eprintln!("round {round} of {ROUNDS}: {measured:?}");
        rounds.push(measured);
        runtime.block_on(cluster.forget())?;
    }

    let case = format!("{NODES} nodes, {MBIT} Mbit/s each way, 256 MiB in {} layers", LAYERS.len());
    let mut report = Report::new("swarm-small", ROUNDS);
    let bound = "S/c, c by a plain transfer in the round";
    let of = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    report.add(Row::of(&case, "origin_copies", of(|r| r.origin_copies)).at_most(1.01));
    let ratios = of(|r| r.makespan / r.bound);
    report.add(Row::of(&case, "makespan_over_bound", ratios).against(bound).at_most(LIMIT));
    report.add(Row::of(&case, "makespan_s", of(|r| r.makespan)));
    report.add(Row::of(&case, "bound_s", of(|r| r.bound)));
    report.add(Row::of(&case, "link_mbit", of(|r| r.mbit)).against("what the link is set to"));
    report.add(Row::of(&case, "supernode_copies", of(|r| r.supernode_copies)));
    let cpu = of(|r| r.cpu_seconds / r.makespan);
    report.add(Row::of(&case, "cpu_cores", cpu).against("supernode and nodes together"));
    report.finish()
}

/// What is asked of the ratio.
const LIMIT: f64 = 1.25;

/// An image whose blobs are files.
struct Image {
    layers: Vec<BlobFile>,
    config: BlobFile,
    manifest: Vec<u8>,
}

impl Image {
    fn new() -> anyhow::Result<Self> {
        let config = BlobFile::of(4096, 1)?;
        let layers = (2..).zip(LAYERS).map(|(seed, length)| BlobFile::of(length, seed));
        let layers = layers.collect::<anyhow::Result<Vec<_>>>()?;
        let descriptor = |kind: &str, blob: &BlobFile| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": blob.digest().to_string(),
                "size": blob.length(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config),
            "layers": layers.iter().map(|l| descriptor("layer.v1.tar+gzip", l)).collect::<Vec<_>>(),
        });
        Ok(Self { layers, config, manifest: manifest.to_string().into_bytes() })
    }

    fn blobs(&self) -> impl Iterator<Item = &BlobFile> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    fn length(&self) -> u64 {
        self.blobs().map(BlobFile::length).sum()
    }

    fn serve(&self, bed: &Bed, spot: &Spot) -> anyhow::Result<Nginx> {
        let files = Files::new(&bed.path().join("origin"))?;
        let files = files.manifest(REPOSITORY, "v1", &self.manifest)?;
        let files = self.blobs().try_fold(files, |files, blob| files.blob(REPOSITORY, blob))?;
        files.serve(spot, AccessLog::On)
    }

    /// Pulls from a mirror as containerd does: the manifest, the config, layers some at a time.
    fn pull(&self, mirror: std::net::SocketAddr, registry: &str) -> anyhow::Result<()> {
        let path =
            |kind: &str, digest: Digest| format!("/v2/{REPOSITORY}/{kind}/{digest}?ns={registry}");
        let mut client = Client::connect(mirror)?;
        client.get(&format!("/v2/{REPOSITORY}/manifests/v1?ns={registry}"))?;
        client.get(&path("manifests", Digest::of(&self.manifest)))?;
        client.get(&path("blobs", self.config.digest()))?;
        let waiting = Mutex::new(self.layers.iter());
        let next = || waiting.lock().expect("nobody panics with it").next();
        let work = || -> anyhow::Result<()> {
            let mut client = Client::connect(mirror)?;
            while let Some(layer) = next() {
                let answered = client.get(&path("blobs", layer.digest()))?;
                ensure!(answered.bytes == layer.length(), "{} bytes came", answered.bytes);
            }
            Ok(())
        };
        all(std::iter::repeat_n(work, AT_ONCE))
    }
}

/// Runs all at once, in threads.
fn all<W: FnOnce() -> anyhow::Result<()> + Send>(
    works: impl Iterator<Item = W>,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = works.map(|work| scope.spawn(work)).collect();
        let done = running.into_iter().map(|run| run.join().expect("a client does not panic"));
        done.collect::<anyhow::Result<Vec<()>>>().map(|_| ())
    })
}

/// What one round gave.
#[derive(Clone, Copy, Debug)]
struct Round {
    makespan: f64,
    bound: f64,
    mbit: f64,
    origin_copies: f64,
    supernode_copies: f64,
    cpu_seconds: f64,
}

struct Cluster {
    supernode: Supernode,
    nodes: Vec<(Spot, Node)>,
}

impl Cluster {
    async fn start(bed: &Bed, net: &mut Net, link: Link, origin: &Nginx) -> anyhow::Result<Self> {
        let supernode = bed.supernode_at(&net.host(link)?, &origin.site(), "").await?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let spot = net.host(link)?;
            let node = bed.node_at(&spot, &format!("n{number}"), &supernode, "").await?;
            nodes.push((spot, node));
        }
        supernode.until_nodes(NODES as u64).await?;
        Ok(Self { supernode, nodes })
    }

    /// Starts all anew with empty stores.
    async fn forget(&mut self) -> anyhow::Result<()> {
        self.supernode.kill()?;
        self.supernode.forget()?;
        for (_, node) in &mut self.nodes {
            node.kill()?;
            node.forget()?;
        }
        self.supernode.start().await?;
        for (_, node) in &mut self.nodes {
            node.start().await?;
        }
        self.supernode.until_nodes(NODES as u64).await
    }

    fn round(&mut self, image: &Image, origin: &Nginx) -> anyhow::Result<Round> {
        let rate = self.plain_transfer(image, origin)?;
        let (sent, cpu) = (origin.blob_bytes()?, self.cpu_seconds()?);
        let started = Instant::now();
        let pulls = self.nodes.iter().map(|(spot, node)| {
            let mirror = node.mirror();
            move || {
                spot.enter()?;
                image.pull(mirror, &origin.host())
            }
        });
        all(pulls)?;
        let makespan = started.elapsed();
        let cpu_seconds = self.cpu_seconds()? - cpu;
        // The access log may be a moment behind.
        std::thread::sleep(Duration::from_millis(200));
        let length = as_f64(image.length());
        Ok(Round {
            makespan: makespan.as_secs_f64(),
            bound: length / rate,
            mbit: rate * 8.0 / 1e6,
            origin_copies: as_f64(origin.blob_bytes()? - sent) / length,
            supernode_copies: as_f64(self.supernode_gave()?) / length,
            cpu_seconds,
        })
    }

    /// Bytes per second of a plain transfer from the registry to the first node.
    fn plain_transfer(&self, image: &Image, origin: &Nginx) -> anyhow::Result<f64> {
        let (spot, _) = &self.nodes[0];
        let layer = &image.layers[2];
        let target = format!("/v2/{REPOSITORY}/blobs/{}", layer.digest());
        let answered = std::thread::scope(|scope| {
            let transfer = scope.spawn(|| {
                spot.enter()?;
                Client::connect(origin.address())?.get(&target)
            });
            transfer.join().expect("a client does not panic")
        })?;
        Ok(as_f64(answered.bytes) / answered.time.as_secs_f64())
    }

    fn cpu_seconds(&mut self) -> anyhow::Result<f64> {
        let processes = self.nodes.iter_mut().map(|(_, node)| node.process());
        let processes = std::iter::once(self.supernode.process()).chain(processes);
        processes.map(|process| cpu_seconds(process.context("it does not run")?.id())).sum()
    }

    /// What all nodes took from the supernode's cache.
    fn supernode_gave(&self) -> anyhow::Result<u64> {
        let runtime = Runtime::new()?;
        let told = self.nodes.iter().map(|(_, node)| runtime.block_on(node.received("supernode")));
        told.sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to be printed")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
