//! `dfdaemon cache …`: what this node keeps, for its operator.
//!
//! A running daemon is asked over its socket ([`door`] is its side); where none runs, the store is
//! opened here. Two processes never open one store: its lock decides.

mod client;
pub mod door;
mod here;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use peer::cache::{Collected, Done, Listing, Step};
use telemetry::units::ByteSize;

use crate::config::Config;
use client::Client;
use here::Here;

/// What to do with the cache.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A task is named as `ls` shows it: sha256:… for a blob, url:… for a file that dfget fetched, or the
first characters of its digest (six at least), as long as they stand for one task only.

Examples:
  dfdaemon cache ls                     what is kept
  dfdaemon cache ls --json | jq '.tasks[] | select(.pinned)'
  dfdaemon cache gc --to 20GiB          make room: the least recently used goes first
  dfdaemon cache pin sha256:4f53cda1    keep a blob, whatever comes
  dfdaemon cache verify                 read everything again; exit code 1 if something was damaged

A running daemon is asked over local.socket; without one, the store in state_dir is opened here.
Exit codes: 0 done, 1 failed, left something, or found damage, 2 wrong usage.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is kept: tasks, how much of each is here, what is pinned
    Ls {
        /// Whole digests instead of short ones
        #[arg(long)]
        full: bool,
    },
    /// Remove tasks; those in use or pinned stay unless --force
    Rm {
        /// The tasks
        #[arg(value_name = "DIGEST", required_unless_present = "all")]
        tasks: Vec<String>,
        /// All tasks
        #[arg(long, conflicts_with = "tasks")]
        all: bool,
        /// Those too that are in use or pinned: who reads them is cut off
        #[arg(long)]
        force: bool,
    },
    /// Make room: evict what was used least recently
    Gc {
        /// How much may stay; without it, what the configured watermarks want
        #[arg(long, value_name = "SIZE")]
        to: Option<ByteSize>,
    },
    /// Keep tasks from being evicted, over restarts too
    Pin {
        /// The tasks
        #[arg(value_name = "DIGEST", required = true)]
        tasks: Vec<String>,
    },
    /// Let tasks be evicted again
    Unpin {
        /// The tasks
        #[arg(value_name = "DIGEST", required = true)]
        tasks: Vec<String>,
    },
    /// Read tasks from the disk and compare every piece with its digest; damaged pieces are dropped,
    /// and fetched again when they are next wanted
    Verify {
        /// The tasks; without any, all
        #[arg(value_name = "DIGEST")]
        tasks: Vec<String>,
    },
}

/// Does what `args` say; the exit code tells how it went.
///
/// # Errors
/// If neither a daemon nor the store can be asked, or a name stands for nothing.
pub async fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let way = Way::find(config).await?;
    match &args.command {
        Command::Ls { full } => {
            let listing = way.list().await?;
            show::listing(&listing, *full, args.json)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Rm { tasks, force, .. } => {
            let done = way.remove(tasks, *force).await?;
            show::done(&done, "removed", args.json)?;
            Ok(code(done.left.is_empty()))
        }
        Command::Gc { to } => {
            let collected = way.collect(to.map(ByteSize::as_u64)).await?;
            show::collected(&collected, args.json)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Pin { tasks } => pinned(&way, tasks, true, args.json).await,
        Command::Unpin { tasks } => pinned(&way, tasks, false, args.json).await,
        Command::Verify { tasks } => {
            let mut shown = show::Verifying::new(args.json);
            way.verify(tasks, |step| shown.step(step)).await?;
            shown.finish().map(code)
        }
    }
}

async fn pinned(way: &Way, tasks: &[String], on: bool, json: bool) -> anyhow::Result<ExitCode> {
    let done = way.pin(tasks, on).await?;
    show::done(&done, if on { "pinned" } else { "unpinned" }, json)?;
    Ok(ExitCode::SUCCESS)
}

fn code(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who is asked.
enum Way {
    /// The running daemon.
    Daemon(Client),
    /// The store itself.
    Here(Here),
}

impl Way {
    async fn find(config: &Config) -> anyhow::Result<Self> {
        match Client::connect(&config.local.socket).await? {
            Some(client) => Ok(Self::Daemon(client)),
            None => Here::open(config).map(Self::Here),
        }
    }

    async fn list(&self) -> anyhow::Result<Listing> {
        match self {
            Self::Daemon(client) => client.list().await,
            Self::Here(here) => Ok(here.list()),
        }
    }

    async fn remove(&self, tasks: &[String], force: bool) -> anyhow::Result<Done> {
        match self {
            Self::Daemon(client) => client.remove(tasks, force).await,
            Self::Here(here) => here.remove(tasks, force),
        }
    }

    async fn collect(&self, to: Option<u64>) -> anyhow::Result<Collected> {
        match self {
            Self::Daemon(client) => client.collect(to).await,
            Self::Here(here) => here.collect(to),
        }
    }

    async fn pin(&self, tasks: &[String], pinned: bool) -> anyhow::Result<Done> {
        match self {
            Self::Daemon(client) => client.pin(tasks, pinned).await,
            Self::Here(here) => here.pin(tasks, pinned),
        }
    }

    async fn verify(
        &self,
        tasks: &[String],
        mut tell: impl FnMut(Step) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Daemon(client) => client.verify(tasks, tell).await,
            Self::Here(here) => {
                let mut told = Ok(());
                here.verify(tasks, |step| {
                    told = tell(step);
                    told.is_ok()
                })?;
                told
            }
        }
    }
}
