//! A container that starts before its image has arrived, against one that is pulled first: a cold
//! node, one link of 100 Mbit/s, and python importing numpy.
//!
//! Ours: `nydusd` mounts the chunked image by way of the node's `dfdaemon`, an overlay goes on top,
//! and runc runs the program. The other: containerd pulls and unpacks the ordinary image straight
//! from the registry over the same link, and the same runc runs the same program in it. Both begin
//! with a cold page cache and end with the program's first output. What was fetched is what the
//! node's network interface received, everything included.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use benches::images;
use benches::mounts::{Forget, Mounts, done, forget};
use benches::net::{Link, Net, isolated};
use benches::report::{Report, Row};
use benches::rounds::{Side, Turn, in_turns};
use image_builder::oci::Manifest;
use serde_json::{Value, json};
use testbed::{Bed, Containerd, DockerRegistry, Node, Spot, Supernode};
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;
const MBIT: u32 = 100;
const PROGRAM: [&str; 3] = ["/usr/bin/python3", "-c", "import numpy; print(numpy.arange(9).sum())"];
const SAYS: &str = "36";

/// What one start took.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Seconds to the program's first output.
    first: f64,
    /// Bytes that the node received, to the program's end.
    received: f64,
    /// Bytes a second that a plain transfer had over the link, just before.
    rate: f64,
}

fn main() -> anyhow::Result<()> {
    isolated(measure)
}

fn measure() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let bed = Bed::new()?.quiet();
    let mut net = Net::new()?;
    let here = net.here();
    let node = net.host(Link { up: MBIT, down: MBIT })?;
    let registry = runtime.block_on(bed.registry().at(&here).start())?;
    let image = Images::pushed(&registry)?;
    let supernode = runtime.block_on(bed.supernode_at(&here, &registry.site(), ""))?;
    let daemon = runtime.block_on(bed.node_at(&node, "cold", &supernode, ""))?;
    let containerd = runtime.block_on(Containerd::start(&bed, "cold"))?;
    let mut site = Place { runtime, node, supernode, daemon, containerd, image };

    let turns = in_turns(ROUNDS, |side| {
        let start = match side {
            Side::Ours => site.lazily()?,
            Side::Baseline => site.pulled()?,
        };
        eprintln!("  {side:?}: {start:?}");
        Ok(start)
    })?;
    told(&turns, &site.image)
}

fn told(turns: &[Turn<Start>], image: &Images) -> anyhow::Result<()> {
    let case = format!("python3 imports numpy, {MBIT} Mbit/s, cold");
    let mut report = Report::new("lazy-cold", ROUNDS);
    let of = |metric: &str, value: &dyn Fn(&Turn<Start>) -> f64| {
        Row::of(&case, metric, turns.iter().map(value))
    };
    report.add(Row::of(&case, "image_mb, compressed", [image.bytes / 1e6]).at_least(400.0));
    let pull = "pull, unpack and run by containerd";
    report.add(
        of("time_over_pull", &|t| t.ours.first / t.baseline.first).against(pull).at_most(0.25),
    );
    let fraction = of("fetched_fraction", &|t| t.ours.received / image.bytes);
    report.add(fraction.against("the ordinary image, compressed").at_most(0.15));
    let bound = "the bytes received at the link's rate";
    let over = of("time_over_bytes", &|t| t.ours.first / (t.ours.received / t.ours.rate));
    report.add(over.against(bound));
    report.add(of("first_output_s", &|t| t.ours.first));
    report.add(of("first_output_s, pulled", &|t| t.baseline.first));
    report.add(of("received_mb", &|t| t.ours.received / 1e6));
    report.add(of("received_mb, pulled", &|t| t.baseline.received / 1e6));
    report.add(of("link_mbit_s", &|t| t.ours.rate * 8.0 / 1e6));
    report.finish()
}

/// The image in the registry, ordinary and chunked.
struct Images {
    ordinary: String,
    chunked: String,
    /// Of the ordinary one, compressed.
    bytes: f64,
    /// Something to try the link with.
    layer: String,
}

impl Images {
    fn pushed(registry: &DockerRegistry) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/image");
        let made = done(Command::new(script).stderr(Stdio::inherit()))?;
        let layout = PathBuf::from(String::from_utf8(made)?.trim_end());
        let place = format!("oci:{}:demo", layout.display());
        let ordinary = format!("{}/demo/software:v1", registry.host());
        let chunked = format!("{ordinary}-chunked");
        let target = format!("docker://{ordinary}");
        let copy = ["--insecure-policy", "copy", "--dest-tls-verify=false", &place, &target];
        done(Command::new("skopeo").args(copy))?;
        let work = images::scratch("lazy-cold")?;
        done(images::convert(&ordinary, &chunked, &work)?.arg("--plain-http"))?;
        let manifest: Manifest = images::manifest(&place)?;
        let largest = manifest.layers.iter().max_by_key(|layer| layer.size).context("layers")?;
        let layer = format!("http://{}/v2/demo/software/blobs/{}", registry.host(), largest.digest);
        Ok(Self { ordinary, chunked, bytes: images::bytes(&manifest.layers), layer })
    }
}

/// Everything that runs.
struct Place {
    runtime: Runtime,
    node: Spot,
    supernode: Supernode,
    daemon: Node,
    containerd: Containerd,
    image: Images,
}

impl Place {
    fn lazily(&mut self) -> anyhow::Result<Start> {
        self.daemon.kill()?;
        self.daemon.forget()?;
        self.supernode.kill()?;
        self.supernode.forget()?;
        self.runtime.block_on(self.supernode.start())?;
        self.runtime.block_on(self.daemon.start())?;
        self.runtime.block_on(self.supernode.until_nodes(1))?;
        let folder = images::scratch("lazy-cold")?;
        let socket = self.daemon.socket();
        let socket = socket.to_str().context("a path that is text")?;
        let (at, chunked) = (folder.join("image"), self.image.chunked.clone());
        let spot = self.node.clone();
        let mut mounts = Mounts::new(&folder.join("cache"), &spot)?;
        self.timed(|| {
            mounts.mount(&chunked, &at, &["--plain-http", "--dfdaemon", socket])?;
            Bundle::over(&at, &folder.join("bundle"))?.first_output()
        })
    }

    fn pulled(&mut self) -> anyhow::Result<Start> {
        let folder = images::scratch("lazy-cold")?;
        let (at, ordinary) = (folder.join("image"), self.image.ordinary.clone());
        std::fs::create_dir(&at)?;
        let ctr = |words: &[&str]| {
            let mut command = self.node.command("ctr");
            command.arg("--address").arg(self.containerd.socket()).args(words);
            done(&mut command).map(drop)
        };
        let snapshotter = ["--snapshotter", "overlayfs"];
        let start = self.timed(|| {
            ctr(&[&["images", "pull", "--plain-http"], &snapshotter[..], &[&ordinary]].concat())?;
            let to = at.to_str().context("a path that is text")?;
            ctr(&[&["images", "mount"], &snapshotter[..], &[&ordinary, to]].concat())?;
            Bundle::over(&at, &folder.join("bundle"))?.first_output()
        })?;
        done(Command::new("umount").arg("--lazy").arg(&at))?;
        ctr(&["snapshots", "--snapshotter", "overlayfs", "rm", at.to_str().unwrap_or_default()])?;
        ctr(&["images", "rm", "--sync", &ordinary])?;
        Ok(start)
    }

    /// Times `start` from a cold page cache; it gives the moment of the first output.
    fn timed(&self, start: impl FnOnce() -> anyhow::Result<Instant>) -> anyhow::Result<Start> {
        let rate = self.rate()?;
        forget(Forget::All)?;
        let (before, begun) = (self.received()?, Instant::now());
        let first = start()?.duration_since(begun).as_secs_f64();
        Ok(Start { first, received: self.received()? - before, rate })
    }

    /// Bytes a second of a plain transfer over the link.
    fn rate(&self) -> anyhow::Result<f64> {
        let mut command = self.node.command("curl");
        command.args(["--silent", "--fail", "--range", "0-19999999", "--output", "/dev/null"]);
        let told = done(command.args(["--write-out", "%{speed_download}", &self.image.layer]))?;
        Ok(String::from_utf8(told)?.trim().parse()?)
    }

    /// Bytes that the node's interface has received so far.
    fn received(&self) -> anyhow::Result<f64> {
        let mut command = self.node.command("ip");
        let told = done(command.args(["-json", "-statistics", "link", "show", "eth0"]))?;
        let told: Value = serde_json::from_slice(&told)?;
        let bytes = told.pointer("/0/stats64/rx/bytes").and_then(Value::as_f64);
        bytes.context("ip tells no bytes")
    }
}

/// What runc runs: an overlay over an image's files, and the program.
struct Bundle(PathBuf);

impl Bundle {
    fn over(files: &Path, at: &Path) -> anyhow::Result<Self> {
        for folder in ["rootfs", "upper", "work"] {
            std::fs::create_dir_all(at.join(folder))?;
        }
        let (files, folder) = (files.display(), at.display());
        let options = format!("lowerdir={files},upperdir={folder}/upper,workdir={folder}/work");
        let overlay = ["-t", "overlay", "overlay", "-o", &options];
        done(Command::new("mount").args(overlay).arg(at.join("rootfs")))?;
        let bundle = Self(at.to_owned());
        done(Command::new("runc").arg("spec").current_dir(at))?;
        let path = at.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(PROGRAM);
        config["root"] = json!({ "path": "rootfs", "readonly": false });
        std::fs::write(path, config.to_string())?;
        Ok(bundle)
    }

    /// Runs it to its end; when its first output came.
    fn first_output(self) -> anyhow::Result<Instant> {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.0.join("runc")).args(["run", "--bundle"]).arg(&self.0);
        let mut child = command.arg("meganeura-bench").stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut said)?;
        let first = Instant::now();
        let status = child.wait()?;
        ensure!(status.success() && said.trim() == SAYS, "{status}: {said}");
        Ok(first)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.join("rootfs")).status();
    }
}
