//! The images that stock `nydus-image` made, which lie beside the checkout.

use std::path::{Path, PathBuf};

/// The samples' names: images of one tree.
pub const SAMPLES: [&str; 6] = [
    "zstd-blake3",
    "zstd-sha256-toc",
    "lz4-sha256",
    "none-blake3-64k",
    "zstd-batch-blake3",
    "tar-inline-toc",
];

/// The folder in which the samples are. Says aloud that there are none.
///
/// # Panics
/// If there are none in CI.
#[must_use]
pub fn samples() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|at| at.join("shared/samples")).find(|at| at.is_dir());
    if found.is_none() {
        crate::skipped("there are no samples beside the checkout");
    }
    found
}
