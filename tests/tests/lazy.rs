//! Lazy mounts by way of a real swarm: a registry that asks who it is, a supernode, nodes.

#[path = "lazy/liars.rs"]
mod liars;
#[path = "lazy/urgent.rs"]
mod urgent;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use serde_json::json;
use testbed::process::binary;
use testbed::registry::basic;
use testbed::{Bed, DockerRegistry, Node, can_mount, text};

/// The image's only large file.
const BIG: usize = 12 << 20;

/// Docker's configuration with these credentials for the registry.
fn docker(bed: &Bed, registry: &DockerRegistry, password: &str) -> anyhow::Result<PathBuf> {
    let path = bed.path().join("docker.json");
    let basic = basic("alice", password);
    let auth = basic.trim_start_matches("Basic ");
    let entry = json!({ "auths": { registry.host(): { "auth": auth } } });
    fs::write(&path, entry.to_string())?;
    Ok(path)
}

/// Packs a folder with a large file as a chunked image of the registry.
fn pushed(bed: &Bed, registry: &DockerRegistry, docker: &Path) -> anyhow::Result<Vec<u8>> {
    let tree = bed.path().join("tree");
    fs::create_dir(&tree)?;
    let bytes = text(9, BIG);
    fs::write(tree.join("big"), &bytes)?;
    let mut pack = Command::new(binary("image-builder")?);
    pack.arg("pack").arg(&tree).arg(format!("{}/team/app:v1", registry.host()));
    pack.arg("--docker-config").arg(docker);
    done(&mut pack)?;
    Ok(bytes)
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An image that is mounted by way of a node's dfdaemon. It is unmounted when this goes.
struct Mounted {
    at: PathBuf,
    cache: PathBuf,
}

impl Mounted {
    fn new(
        bed: &Bed,
        node: &Node,
        registry: &DockerRegistry,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        Self::of(bed, node, &format!("{}/team/app:v1", registry.host()), more)
    }

    fn of(bed: &Bed, node: &Node, image: &str, more: &[&str]) -> anyhow::Result<Self> {
        let at = bed.path().join(format!("{}.mount", node.name()));
        let cache = bed.path().join(format!("{}.chunks", node.name()));
        fs::create_dir_all(&at)?;
        let mut mount = Command::new(binary("nydusd")?);
        mount.args(["mount", "--cache-dir"]).arg(&cache).arg("--dfdaemon").arg(node.socket());
        mount.args(more).arg(image).arg(&at);
        done(&mut mount)?;
        Ok(Self { at, cache })
    }

    fn big(&self) -> std::io::Result<Vec<u8>> {
        fs::read(self.at.join("big"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.cache.join("nydusd.log")).unwrap_or_default()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Ok(nydusd) = binary("nydusd") {
            let _ = done(Command::new(nydusd).args(["umount", "--lazy"]).arg(&self.at));
        }
    }
}

/// How many bytes of blobs the registry has given, beyond the bootstrap's few.
fn given(registry: &DockerRegistry) -> u64 {
    registry.requests().iter().filter(|r| r.path.contains("/blobs/")).map(|r| r.bytes).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_image_comes_by_way_of_the_swarm_to_who_may_have_it() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let bed = Bed::new()?;
    let registry = bed.registry().user("alice", "right").start().await?;
    let config = docker(&bed, &registry, "right")?;
    let bytes = pushed(&bed, &registry, &config)?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    let (one, two) = (bed.node("n1", &supernode).await?, bed.node("n2", &supernode).await?);
    let before = given(&registry);
    let login = ["--docker-config", config.to_str().unwrap_or_default()];
    let first = Mounted::new(&bed, &one, &registry, &login)?;
    ensure!(first.big()? == bytes, "other bytes");
    let once = given(&registry) - before;
    // The second node has them from the first, or from the supernode.
    let second = Mounted::new(&bed, &two, &registry, &login)?;
    ensure!(second.big()? == bytes, "other bytes");
    let twice = given(&registry) - before;
    eprintln!("{once} bytes for one node, {twice} for two");
    ensure!(twice - once < once / 4, "the registry gave {once} bytes, then {}", twice - once);
    // A mount keeps its right while registry and supernode are away, and who is not let in at all
    // gets nothing of what is here.
    let stranger = docker(&bed, &registry, "wrong")?;
    let login = ["--docker-config", stranger.to_str().unwrap_or_default()];
    let at = bed.path().join("stranger");
    fs::create_dir(&at)?;
    let mut mount = Command::new(binary("nydusd")?);
    mount.args(["mount", "--cache-dir"]).arg(&first.cache).args(login);
    mount.arg(format!("{}/team/app:v1", registry.host())).arg(&at);
    ensure!(!mount.output()?.status.success(), "a stranger's mount");
    supernode.kill()?;
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    ensure!(first.big()? == bytes && second.big()? == bytes, "other bytes");
    let secret = basic("alice", "right");
    let secret = secret.trim_start_matches("Basic ");
    for log in [first.log(), second.log(), one.log(), two.log(), supernode.log()] {
        ensure!(!log.contains(secret), "a credential is in a log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dfdaemon_goes_and_comes_back_under_a_mount() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let config = docker(&bed, &registry, "none")?;
    let bytes = pushed(&bed, &registry, &config)?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node("n1", &supernode).await?;
    let mounted = Mounted::new(&bed, &node, &registry, &["--driver", "fuse"])?;
    let part = |from: usize| -> anyhow::Result<()> {
        use std::os::unix::fs::FileExt;
        let mut read = vec![0; 100_000];
        fs::File::open(mounted.at.join("big"))?.read_exact_at(&mut read, from as u64)?;
        ensure!(read == bytes[from..from + read.len()], "other bytes at {from}");
        Ok(())
    };
    part(0)?;
    node.kill()?;
    part(4 << 20)?;
    node.start().await?;
    part(9 << 20)?;
    ensure!(mounted.big()? == bytes, "other bytes");
    Ok(())
}
