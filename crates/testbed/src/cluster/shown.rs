//! What a process shows of itself: whether it is ready, and its metrics.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::Process;
use crate::web;

pub(super) async fn metric(address: SocketAddr, name: &str) -> anyhow::Result<u64> {
    let text = web::get(address, "/metrics", &[]).await?.text();
    let line = text
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))
        .with_context(|| format!("no metric {name} in:\n{text}"))?;
    let value = line.rsplit(' ').next().context("a value")?;
    Ok(value.parse()?)
}

pub(super) async fn ready(
    address: SocketAddr,
    process: &mut Option<Process>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if let Ok(answer) = web::get(address, "/readyz", &[]).await
            && answer.status == 200
        {
            return Ok(());
        }
        if let Some(process) = process
            && !process.is_running()
        {
            bail!("it ended at once:\n{}", process.log());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let log = process.as_ref().map(Process::log).unwrap_or_default();
    bail!("not ready after 20 s:\n{log}")
}
