//! A program run to its end on so many cores, and what that took.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::usage::{PeakMemory, cpu_seconds};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU seconds, user and system, of all its threads.
    pub cpu: f64,
    /// Seconds from its start to its end.
    pub wall: f64,
    /// The most anonymous memory that it had, in MiB.
    pub anon_mib: f64,
}

/// Runs a program on the first `cores` cores. It sees no more of them, so it starts no more
/// threads than for so many.
///
/// # Errors
/// If there are fewer cores, it does not start, or it fails; what it said is told.
pub fn run(command: &mut Command, cores: usize) -> anyhow::Result<Cost> {
    let log = crate::folder()?.join("run.log");
    let said = std::fs::File::create(&log)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let begin = Instant::now();
    let child = pinned(cores, || command.spawn())?;
    let mut child = child.with_context(|| format!("{command:?} does not start"))?;
    let memory = PeakMemory::of(child.id());
    wait(child.id())?;
    let wall = begin.elapsed().as_secs_f64();
    // It is over and not yet forgotten: the kernel still has its account.
    let cpu = cpu_seconds(child.id())?;
    let status = child.wait()?;
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "{command:?}: {status}\n{log}");
    Ok(Cost { cpu, wall, anon_mib: memory.mib() })
}

/// Waits until a child is over, and leaves it there.
fn wait(child: u32) -> anyhow::Result<()> {
    let id = Pid::from_raw(i32::try_from(child)?).context("a process id")?;
    loop {
        match waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(Errno::INTR) => {}
            other => return other.map(drop).context("waiting for a program"),
        }
    }
}

/// Does `work` with this thread on the first `cores` cores that it may run on; what it starts
/// meanwhile stays there.
///
/// # Errors
/// If there are fewer.
pub fn pinned<T>(cores: usize, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let before = sched_getaffinity(None)?;
    let allowed = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core));
    let mut few = CpuSet::new();
    allowed.take(cores).for_each(|core| few.set(core));
    ensure!(few.count() as usize == cores, "there are fewer than {cores} cores");
    sched_setaffinity(None, &few)?;
    let done = work();
    sched_setaffinity(None, &before)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_took_is_told() {
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let cost = run(Command::new("sh").args(["-c", busy]), 1).expect("it runs");
        assert!(cost.cpu > 0.0 && cost.cpu <= cost.wall + 0.05, "{cost:?}");
        let nproc = "test $(nproc) = 1 || exit 3";
        run(Command::new("sh").args(["-c", nproc]), 1).expect("one core");
        let failed = run(Command::new("sh").args(["-c", "echo why >&2; exit 1"]), 1);
        assert!(failed.expect_err("it fails").to_string().contains("why"));
    }
}
