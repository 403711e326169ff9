//! `dfget`: arguments and exit code. What it does is in the library.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use dfget::args::{Args, Command};
use dfget::error::Error;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Completions { shell }) = args.command {
        clap_complete::generate(shell, &mut Args::command(), "dfget", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let Some(fetch) = args.fetch else {
        eprintln!("dfget: say what to fetch, and where to: dfget URL -o FILE");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(dfget::get::get(&fetch)),
        Err(error) => Err(Error::Unreachable(error.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if fetch.json {
                println!("{}", serde_json::json!({"event": "failed", "error": error.to_string()}));
            }
            eprintln!("dfget: {error}");
            error.exit_code()
        }
    }
}
