//! The real containerd and the real nydus-snapshotter pull and run chunked images; what they start
//! and drive is our nydusd.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use content::Digest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testbed::process::binary;
use testbed::registry::basic;
use testbed::snapshotter::{self, Mode, PLUGIN};
use testbed::{
    Bed, Containerd, DockerRegistry, Image, Node, Snapshotter, Supernode, image, rootfs,
};

/// The file of which most of an image is: it does not compress.
const BIG: usize = 24 << 20;

/// What a container reads that wants little.
const LITTLE: &str = "a little\n";

/// What a container prints in the end.
const DONE: &str = "done";

/// Who may pull from a private registry.
const USER: (&str, &str) = ("somebody", "pass:word");

/// Where an image comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A registry that asks nobody who he is.
    Public,
    /// One that does.
    Private,
    /// A private one, by way of a swarm.
    Swarm,
}

/// A registry with a chunked image, a node of a swarm if there is one, a snapshotter, a containerd. The
/// folder goes last.
struct Rig {
    containerd: Containerd,
    snapshotter: Snapshotter,
    swarm: Option<(Node, Supernode)>,
    registry: DockerRegistry,
    big: Digest,
    _bed: Bed,
}

impl Rig {
    async fn new(mode: Mode, driver: &str, kind: Kind) -> anyhow::Result<Self> {
        let bed = Bed::new()?;
        let registry = match kind {
            Kind::Public => bed.registry().start().await?,
            Kind::Private | Kind::Swarm => bed.registry().user(USER.0, USER.1).start().await?,
        };
        // Where docker has credentials; the snapshotter looks there too.
        let docker = bed.path().join("docker");
        fs::create_dir(&docker)?;
        let auth = basic(USER.0, USER.1).replace("Basic ", "");
        let auths = json!({ "auths": { registry.host(): { "auth": auth } } });
        fs::write(docker.join("config.json"), auths.to_string())?;
        let (image, big) = image(&bed)?;
        registry.push("demo/app", "v1", &image).await?;
        let name = format!("{}/demo/app:v1", registry.host());
        let mut convert = Command::new(binary("image-builder")?);
        convert.args(["convert", &name, &format!("{name}-chunked"), "--work-dir"]).arg(bed.path());
        convert.env("DOCKER_CONFIG", &docker);
        let converted = convert.output()?;
        let said = String::from_utf8_lossy(&converted.stderr);
        ensure!(converted.status.success(), "image-builder: {said}");
        let swarm = if kind == Kind::Swarm {
            let supernode = bed.supernode(&registry.site()).await?;
            Some((bed.node("n1", &supernode).await?, supernode))
        } else {
            None
        };
        let nobody = bed.path().join("nobody.sock");
        let dfdaemon = swarm.as_ref().map_or(nobody, |(node, _)| node.socket());
        let snapshotter = Snapshotter::start(&bed, mode, driver, &dfdaemon, &docker).await?;
        let containerd = Containerd::beside(&bed, "c", PLUGIN, &snapshotter.socket()).await?;
        Ok(Self { containerd, snapshotter, swarm, registry, big, _bed: bed })
    }

    fn reference(&self) -> String {
        format!("{}/demo/app:v1-chunked", self.registry.host())
    }

    async fn pull(&self) -> anyhow::Result<()> {
        let user = format!("{}:{}", USER.0, USER.1);
        self.containerd.pull_lazily(&self.reference(), PLUGIN, &user).await
    }

    /// Runs a command in a new container; what it printed.
    async fn run(&self, command: &str) -> anyhow::Result<Vec<u8>> {
        // The runtime keeps the state of all containerds in one folder: no name comes twice.
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let script = format!("{command} && echo {DONE}");
        for _ in 0..5 {
            let run = RUNS.fetch_add(1, Ordering::Relaxed);
            let id = format!("meganeura-{}-{run}", std::process::id());
            let program = ["/bin/sh", "-c", &script];
            let ran = self.containerd.run(&self.reference(), PLUGIN, &id, &program).await;
            let mut printed = ran.with_context(|| self.snapshotter.log())?;
            if printed.ends_with(format!("{DONE}\n").as_bytes()) {
                printed.truncate(printed.len() - DONE.len() - 1);
                return Ok(printed);
            }
            // It came to its end, and that was lost: `ctr` gives up the output of a program that is
            // faster than itself.
            ensure!(printed.is_empty(), "{} bytes, and no end", printed.len());
            eprintln!("the output of {id} was lost; once more");
        }
        bail!("nothing is printed: {}", self.snapshotter.log())
    }

    async fn reads_little(&self) -> anyhow::Result<()> {
        let read = self.run("cat /data/little").await?;
        ensure!(read == LITTLE.as_bytes(), "{}", String::from_utf8_lossy(&read));
        Ok(())
    }

    async fn reads_all(&self) -> anyhow::Result<()> {
        let read = self.run("cat /data/big").await?;
        ensure!(Digest::of(&read) == self.big, "{} bytes are other ones", read.len());
        Ok(())
    }

    /// Removes the image, and makes sure that nothing is left of it.
    async fn removes_all(&self, mode: Mode) -> anyhow::Result<()> {
        self.containerd.remove(&self.reference()).await?;
        let daemons = usize::from(mode == Mode::Shared);
        let gone =
            || self.snapshotter.mounts().is_empty() && self.snapshotter.daemons().len() == daemons;
        wait(gone, || {
            let (mounts, daemons) = (self.snapshotter.mounts(), self.snapshotter.daemons());
            format!("{mode:?}: {mounts:?} are left, of {daemons:?}:\n{}", self.snapshotter.log())
        })
        .await
    }
}

/// An image in which programs run: a little and much to be read. The digest of what is much.
fn image(bed: &Bed) -> anyhow::Result<(Image, Digest)> {
    let root = bed.path().join("rootfs");
    rootfs::with_programs(&root, &["cat", "sh"])?;
    let big = image::random(BIG);
    fs::create_dir(root.join("data"))?;
    fs::write(root.join("data/big"), &big)?;
    fs::write(root.join("data/little"), LITTLE)?;
    let tar = bed.path().join("rootfs.tar");
    let mut command = Command::new("tar");
    command.args(["--create", "--owner=0", "--group=0", "--file"]).arg(&tar).arg("--directory");
    ensure!(command.arg(&root).arg(".").status()?.success(), "tar");
    Ok((Image::of(vec![Bytes::from(fs::read(&tar)?)]), Digest::of(&big)))
}

async fn wait(is: impl Fn() -> bool, otherwise: impl Fn() -> String) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is() {
        ensure!(begun.elapsed() < Duration::from_secs(30), "{}", otherwise());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn pulled_and_run(mode: Mode, driver: &str, kind: Kind) -> anyhow::Result<()> {
    if !snapshotter::is_here() {
        return Ok(());
    }
    let rig = Rig::new(mode, driver, kind).await?;
    let before = rig.registry.blob_bytes();
    rig.pull().await?;
    let pulled = rig.registry.blob_bytes() - before;
    assert!(pulled < (BIG / 20) as u64, "{mode:?}: {pulled} bytes for metadata alone");
    rig.reads_little().await?;
    let run = rig.registry.blob_bytes() - before;
    assert!(run < (BIG / 2) as u64, "{mode:?}: {run} bytes to run cat");
    rig.reads_all().await?;
    let all = rig.registry.blob_bytes() - before;
    assert!(all > BIG as u64, "{mode:?}: {all}");
    let log = rig.snapshotter.log();
    assert!(log.contains("`validate: false` changes nothing"), "{log}");
    rig.removes_all(mode).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pulled_and_run_with_a_process_for_each_image() -> anyhow::Result<()> {
    pulled_and_run(Mode::Dedicated, "auto", Kind::Public).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pulled_from_a_private_registry_and_run_with_one_process_for_all() -> anyhow::Result<()> {
    pulled_and_run(Mode::Shared, "fuse", Kind::Private).await
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_come_by_way_of_the_nodes_dfdaemon() -> anyhow::Result<()> {
    if !snapshotter::is_here() {
        return Ok(());
    }
    let rig = Rig::new(Mode::Shared, "auto", Kind::Swarm).await?;
    rig.pull().await?;
    rig.reads_all().await?;
    let (node, _) = rig.swarm.as_ref().context("a swarm")?;
    let mut came = 0;
    for source in ["supernode", "origin"] {
        came += node.received(source).await.unwrap_or(0);
    }
    assert!(came > BIG as u64, "{came} bytes came by way of dfdaemon");
    rig.removes_all(Mode::Shared).await
}

/// Kills nydusd; the snapshotter starts another one, which finds mounts, cache and all.
async fn killed_and_back(mode: Mode, driver: &str) -> anyhow::Result<()> {
    if !snapshotter::is_here() {
        return Ok(());
    }
    let mut rig = Rig::new(mode, driver, Kind::Public).await?;
    rig.pull().await?;
    rig.reads_all().await?;
    let fetched = rig.registry.blob_bytes();
    let killed: BTreeSet<u32> = rig.snapshotter.daemons().into_iter().collect();
    for pid in &killed {
        let pid = Pid::from_raw(i32::try_from(*pid)?).context("a process id")?;
        kill_process(pid, Signal::KILL)?;
    }
    let back = || {
        let daemons = rig.snapshotter.daemons();
        !daemons.is_empty()
            && daemons.iter().all(|pid| !killed.contains(pid))
            && rig.snapshotter.mounts().iter().any(|at| at.join("data/little").exists())
    };
    wait(back, || format!("{mode:?}: no new nydusd mounts:\n{}", rig.snapshotter.log())).await?;
    rig.reads_all().await?;
    // Nearly: how far the kernel reads ahead is not the same each time.
    let again = rig.registry.blob_bytes() - fetched;
    assert!(
        again < (BIG / 20) as u64,
        "{mode:?}: {again} bytes of what was kept are fetched again"
    );
    // The snapshotter itself may go and come, and finds who serves.
    let serving = rig.snapshotter.daemons();
    rig.snapshotter.restart().await?;
    rig.containerd.until_reaches(PLUGIN).await?;
    rig.reads_little().await?;
    assert_eq!(rig.snapshotter.daemons(), serving, "{mode:?}");
    rig.removes_all(mode).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_of_one_image_comes_back() -> anyhow::Result<()> {
    killed_and_back(Mode::Dedicated, "fuse").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_of_all_images_comes_back() -> anyhow::Result<()> {
    killed_and_back(Mode::Shared, "auto").await
}
