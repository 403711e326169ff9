//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use content::Digest;

/// Fetch one file by URL, through this node's dfdaemon and the nodes around it.
///
/// Where no dfdaemon runs, or its configuration does not admit the URL, or the request carries a
/// credential, dfget fetches the file by itself. The file appears under its name only when all of
/// it has come and was checked; an interrupted download goes on where it stopped.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub struct Args {
    /// Something other than fetching
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to fetch
    #[command(flatten)]
    pub fetch: Option<Fetch>,
}

/// Something other than fetching.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a completion script: `dfget completions bash > /etc/bash_completion.d/dfget`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What to fetch, and how.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Fetch {
    /// http(s)://…, or oci://REGISTRY/REPOSITORY@sha256:… for a registry's blob
    pub url: String,
    /// Where the file goes
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub overwrite: bool,
    /// The SHA-256 that the file must have: sha256:…
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<Digest>,
    /// A header for the server, "Name: value"; may be given several times. With a credential among
    /// them the file is not shared
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The dfdaemon's socket
    #[arg(
        long,
        value_name = "SOCKET",
        env = "MEGANEURA_SOCKET",
        default_value = "/run/meganeura/dfdaemon.sock"
    )]
    pub socket: PathBuf,
    /// Fail rather than fetch without the dfdaemon
    #[arg(long)]
    pub no_fallback: bool,
    /// Speak plain HTTP to the registry of an oci:// URL, when fetching without the dfdaemon
    #[arg(long)]
    pub plain_http: bool,
    /// Print lines of JSON instead of a progress bar
    #[arg(long)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
}

const EXIT_CODES: &str = "Exit codes:
  0  the file is there, checked
  1  failed otherwise
  2  wrong usage
  3  the bytes are not what their digest says
  4  the server refused: no such file, or no leave to have it
  5  the file cannot be written
  6  the server or the swarm cannot be reached, or broke off too often";

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
