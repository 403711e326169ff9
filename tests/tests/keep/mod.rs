//! What the tests of stores share: the operator's commands, damage, a disk of a given size.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use content::Digest;
use rustix::process::Signal;
use serde_json::Value;
use testbed::Node;

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub success: bool,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs `dfdaemon cache …` with the node's configuration.
pub(crate) async fn cache(node: &Node, args: &[&str]) -> anyhow::Result<Said> {
    let mut command = node.command(&[&["cache"], args].concat())?;
    let out = tokio::task::spawn_blocking(move || command.output()).await??;
    Ok(Said {
        success: out.status.success(),
        code: out.status.code(),
        out: String::from_utf8(out.stdout)?,
        err: String::from_utf8(out.stderr)?,
    })
}

/// The same with `--json`, which has to succeed.
pub(crate) async fn cache_json(node: &Node, args: &[&str]) -> anyhow::Result<Value> {
    let said = cache(node, &[args, &["--json"]].concat()).await?;
    ensure!(said.success, "{args:?}: {said:?}");
    Ok(serde_json::from_str(&said.out)?)
}

/// The names of the tasks in a listing.
pub(crate) fn tasks(listing: &Value) -> Vec<String> {
    let names = listing["tasks"].as_array().into_iter().flatten();
    names.filter_map(|entry| entry["task"].as_str()).map(ToOwned::to_owned).collect()
}

/// Stops a node in order.
pub(crate) async fn stop(node: &mut Node) -> anyhow::Result<()> {
    let process = node.process().context("it does not run")?;
    process.signal(Signal::TERM)?;
    let begun = Instant::now();
    while process.is_running() {
        ensure!(begun.elapsed() < Duration::from_secs(60), "it does not stop");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.kill()
}

/// Flips a bit of a blob in the store under `dir`.
pub(crate) fn flip(dir: &Path, blob: Digest, at: u64) -> anyhow::Result<()> {
    let name = blob.to_string();
    let hex = name.trim_start_matches("sha256:");
    let path = dir.join("state/store/tasks").join(&hex[..2]).join(format!("blob-{hex}.data"));
    let file = std::fs::File::options().read(true).write(true).open(&path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1], at)?;
    Ok(file.sync_all()?)
}

/// A file system of a given size; unmounted at the end.
#[derive(Debug)]
pub struct Small(std::path::PathBuf);

impl Small {
    /// Mounts one of `size` (`16m`); `None` where this user may not mount.
    pub fn mount(at: &Path, size: &str) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let options = format!("size={size},mode=700");
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "meganeura-test"])
            .arg(at)
            .output()?;
        if !done.status.success() {
            testbed::skipped("a small file system cannot be mounted here (needs root)");
            return Ok(None);
        }
        Ok(Some(Self(at.to_owned())))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Waits until `/readyz` of the process at `address` answers so once it has started, and returns what
/// it says.
pub async fn until_ready(address: std::net::SocketAddr, status: u16) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let answer = testbed::web::get(address, "/readyz", &[]).await?;
        if answer.status.as_u16() == status && !answer.text().contains("starting") {
            return Ok(answer.text());
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "/readyz says {}", answer.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
