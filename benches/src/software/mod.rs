//! A real image, made once of the packages that are installed here, and kept in `target/bench/data`.
//!
//! Its layers are gzipped tars of whole packages, about as many bytes in each. `v1` is that image;
//! `v2` is the same after one package of the last layer was upgraded, about three hundredths of the
//! image. All layers under it are those of `v1`, as they are where a builder caches.

mod layout;
mod packages;
mod upgrade;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use content::Digest;
use serde::{Deserialize, Serialize};

use layout::{Layer, Making, write_tar};
use packages::{Files, files, installed, output};

/// How many layers the image has.
const LAYERS: u64 = 5;

/// Bytes of files: a gigabyte, and some.
const BYTES: u64 = 1_250_000_000;

/// Another number of bytes, for a quick look while a bench is written. What it gives is no figure
/// that was asked for.
const OTHER_BYTES: &str = "BENCH_IMAGE_BYTES";

/// How much of the image the upgraded package is.
const SHARE: f64 = 0.03;

/// Changes when the recipe does.
const RECIPE: &str = "1";

/// The image, both versions of it.
#[derive(Clone, Debug)]
pub struct Software {
    folder: PathBuf,
    about: About,
}

/// What is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct About {
    bytes: u64,
    layers: usize,
    upgraded: String,
    upgraded_bytes: u64,
}

impl Software {
    /// The image, made now or the last time.
    ///
    /// # Errors
    /// If the packages here are too few, or the disk is full.
    pub fn new() -> anyhow::Result<Self> {
        let bytes = match std::env::var(OTHER_BYTES) {
            Ok(text) => text.parse().context(OTHER_BYTES)?,
            Err(_) => BYTES,
        };
        let packages = installed()?;
        let named =
            packages.iter().map(|package| format!("{} {}\n", package.name, package.version));
        let recipe = format!("{RECIPE} {bytes} {LAYERS}\n{}", named.collect::<String>());
        let hex = Digest::of(recipe.as_bytes()).to_hex();
        let data = crate::folder()?.join("data");
        let folder = data.join(format!("software-{}", hex.get(..12).unwrap_or(&hex)));
        if !folder.is_dir() {
            eprintln!(
                "making an image of {bytes} bytes out of the packages that are installed here"
            );
            let new = folder.with_extension("new");
            if new.exists() {
                std::fs::remove_dir_all(&new)?;
            }
            std::fs::create_dir_all(&new)?;
            make(&packages, bytes, &new).context("the image could not be made")?;
            std::fs::rename(&new, &folder)?;
        }
        let about = serde_json::from_slice(&std::fs::read(folder.join("about.json"))?)?;
        Ok(Self { folder, about })
    }

    /// Where a version is, as `image-builder` is told it.
    #[must_use]
    pub fn place(&self, version: &str) -> String {
        format!("oci:{}:{version}", self.folder.join("layout").display())
    }

    /// A file of a blob.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        layout::blobs(&self.folder.join("layout")).join(digest.to_hex())
    }

    /// The tree of `v1` on disk.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// How a table calls it: bytes of files, and layers.
    #[must_use]
    pub fn name(&self) -> String {
        let hundredths = self.about.bytes / 10_000_000;
        let (whole, part) = (hundredths / 100, hundredths % 100);
        format!("{whole}.{part:02} GB, {} layers", self.about.layers)
    }

    /// Which package `v2` has in a newer version, and how many bytes its files have.
    #[must_use]
    pub fn upgraded(&self) -> (&str, u64) {
        (&self.about.upgraded, self.about.upgraded_bytes)
    }
}

fn make(packages: &[packages::Package], bytes: u64, folder: &Path) -> anyhow::Result<()> {
    let mut taken = BTreeSet::new();
    let mut packages = packages.iter();
    let mut making = Making::new(&folder.join("layout"))?;
    let tree = folder.join("tree");
    std::fs::create_dir(&tree)?;
    let (mut layers, mut last, mut total) = (Vec::new(), Vec::new(), 0);
    for _ in 0..LAYERS {
        last = Vec::new();
        let mut here = 0;
        while here < bytes.div_ceil(LAYERS) {
            let package = packages.next().with_context(|| {
                format!("all packages here have {} bytes; more are needed", total + here)
            })?;
            let files = files(package, &mut taken)?;
            here += files.bytes;
            last.push(files);
        }
        total += here;
        layers.push(layer(&making, folder, &last, Some(&tree))?);
    }
    making.image(&layers, "v1")?;
    let package = upgrade::pick(&last, total, SHARE)?;
    layers.pop();
    layers.push(upgraded(&making, folder, &last, package)?);
    making.image(&layers, "v2")?;
    let about = About {
        bytes: total,
        layers: layers.len(),
        upgraded: package.package.clone(),
        upgraded_bytes: package.bytes,
    };
    std::fs::write(folder.join("about.json"), serde_json::to_vec(&about)?)?;
    Ok(())
}

/// All paths of these, sorted, but those of `without`.
fn paths(packages: &[Files], without: &[PathBuf]) -> Vec<PathBuf> {
    let without: BTreeSet<_> = without.iter().collect();
    let all = packages.iter().flat_map(|files| &files.paths);
    let mut paths: Vec<_> = all.filter(|path| !without.contains(path)).cloned().collect();
    paths.sort();
    paths
}

/// The layer of these packages; its files are put into `tree` too.
fn layer(
    making: &Making,
    folder: &Path,
    packages: &[Files],
    tree: Option<&Path>,
) -> anyhow::Result<Layer> {
    let tar = folder.join("layer.tar");
    write_tar(&tar, &[(Path::new("/"), &paths(packages, &[]))])?;
    if let Some(tree) = tree {
        output(Command::new("tar").args(["--extract", "--file"]).arg(&tar).arg("-C").arg(tree))?;
    }
    finish(making, &tar)
}

/// The layer of these packages once `package` is upgraded.
fn upgraded(
    making: &Making,
    folder: &Path,
    packages: &[Files],
    package: &Files,
) -> anyhow::Result<Layer> {
    let stage = folder.join("stage");
    let staged = upgrade::stage(package, &stage)?;
    let tar = folder.join("layer.tar");
    write_tar(&tar, &[(Path::new("/"), &paths(packages, &staged)), (&stage, &staged)])?;
    std::fs::remove_dir_all(&stage)?;
    finish(making, &tar)
}

fn finish(making: &Making, tar: &Path) -> anyhow::Result<Layer> {
    let layer = making.layer(tar)?;
    std::fs::remove_file(tar)?;
    Ok(layer)
}
