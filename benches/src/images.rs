//! Images in layout folders: what the benches of `image-builder` ask of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context;
use image_builder::oci::{Descriptor, Manifest};
use image_builder::opened::choose::{Want, choose};
use image_builder::opened::store::{Chunked, Reach, open};
use image_builder::place::Place;
use image_builder::store::{Store, layout::Layout};

/// The chunked image at this place in a layout folder.
///
/// # Errors
/// If it is none.
pub fn chunked(place: &str) -> anyhow::Result<Chunked> {
    let store = layout(place)?;
    let document = choose(&store, Want::Chunked, None)?;
    open(store, document, Reach::Whole).with_context(|| place.to_owned())
}

/// The manifest of the image at this place in a layout folder.
///
/// # Errors
/// If there is none.
pub fn manifest(place: &str) -> anyhow::Result<Manifest> {
    let document = layout(place)?.top()?;
    document.manifest().cloned().with_context(|| format!("{place} is no image"))
}

fn layout(place: &str) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(Layout::open(&place.parse::<Place>()?)?))
}

/// The sum of their lengths, in bytes.
#[expect(clippy::cast_precision_loss, reason = "a ratio's part")]
pub fn bytes<'a>(blobs: impl IntoIterator<Item = &'a Descriptor>) -> f64 {
    blobs.into_iter().map(|blob| blob.size).sum::<u64>() as f64
}

/// The folder for what a bench makes in a run.
///
/// # Errors
/// If `target/bench` cannot be made.
pub fn made(name: &str) -> anyhow::Result<PathBuf> {
    Ok(crate::folder()?.join("scratch").join(name))
}

/// [`made`], empty.
///
/// # Errors
/// If it cannot be made.
pub fn scratch(name: &str) -> anyhow::Result<PathBuf> {
    let folder = made(name)?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// `image-builder convert` from one place to another, blobs on their way in `work`.
///
/// # Errors
/// If `make bench` did not build it.
pub fn convert(source: &str, target: &str, work: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(testbed::process::binary("image-builder")?);
    command.args(["convert", "--json", source, target, "--work-dir"]).arg(work);
    Ok(command)
}

/// All files in the folder of a layout's blobs.
///
/// # Errors
/// If it cannot be listed.
pub fn blobs(layout: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(layout.join("blobs/sha256"))?;
    Ok(files.map(|file| file.map(|file| file.path())).collect::<Result<_, _>>()?)
}
