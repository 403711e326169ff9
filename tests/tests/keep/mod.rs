//! What the tests of stores share: the operator's commands, damage, a disk of a given size.
#![allow(dead_code)] // each test binary uses a part of it

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
