//! `image-builder resolve`: which image a place leads to.

use std::process::ExitCode;

use clap::Args;

use super::StoreArgs;
use crate::place::Place;

/// Its arguments.
#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    /// The image
    image: Place,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &ResolveArgs) -> anyhow::Result<ExitCode> {
    let found = args.store.client()?.open(&args.image)?.top()?;
    println!("{}", serde_json::to_string(&found.descriptor)?);
    Ok(ExitCode::SUCCESS)
}
