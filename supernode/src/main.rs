//! `supernode`: arguments, logs, exit code. What it does is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use supernode::config::Config;
use telemetry::lifecycle::Lifecycle;

/// The Meganeura supernode: decides which node sends which piece to whom, and pulls each blob from
/// its registry once for the whole cluster.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage.\n\
    Configuration: flags over MEGANEURA_… environment over the file over defaults."
)]
struct Args {
    /// Configuration file [default: /etc/meganeura/supernode.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Check the configuration and exit
    #[arg(long)]
    check_config: bool,
    /// Print the configuration as it is understood and exit
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the string with which nodes join this cluster (a secret); makes the cluster if there
    /// is none yet
    JoinString,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supernode: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> anyhow::Result<()> {
    let config: Config = telemetry::config::load("supernode", args.config.as_deref())?;
    if args.print_config {
        print!("{}", telemetry::config::print(&config)?);
        return Ok(());
    }
    if args.check_config {
        println!("the configuration is fine");
        return Ok(());
    }
    if let Some(Command::JoinString) = args.command {
        println!("{}", supernode::app::join_string(&config)?);
        return Ok(());
    }
    telemetry::logs::init(&config.log)?;
    telemetry::lifecycle::block_on(async {
        let lifecycle = Lifecycle::new(config.grace);
        supernode::app::run(config, lifecycle).await
    })?
}
