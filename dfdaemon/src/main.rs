//! `dfdaemon`: arguments, logs, exit code. What it does is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dfdaemon::cache;
use dfdaemon::config::Config;
use telemetry::lifecycle::Lifecycle;

/// The Meganeura node agent: a registry mirror for this node's container engine, and a peer that
/// shares what it pulled with other nodes.
///
/// Point containerd at it with a hosts.toml: server = "https://REGISTRY" and
/// [host."http://127.0.0.1:65001"] capabilities = ["pull", "resolve"].
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage.\n\
    Configuration: flags over MEGANEURA_… environment over the file over defaults."
)]
struct Args {
    /// Configuration file [default: /etc/meganeura/dfdaemon.toml, if it is there]
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
    /// What this node keeps: ls, rm, gc, pin, unpin, verify
    Cache(cache::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dfdaemon: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> anyhow::Result<ExitCode> {
    let config: Config = telemetry::config::load("dfdaemon", args.config.as_deref())?;
    if args.print_config {
        print!("{}", telemetry::config::print(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    if args.check_config {
        println!("the configuration is fine");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Cache(args)) = &args.command {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(cache::run(args, &config));
    }
    telemetry::logs::init(&config.log)?;
    telemetry::lifecycle::block_on(async {
        let lifecycle = Lifecycle::new(config.grace);
        dfdaemon::app::run(config, lifecycle).await
    })??;
    Ok(ExitCode::SUCCESS)
}
