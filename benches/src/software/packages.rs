//! Which files: those of the packages that are installed here, in an order that their names give.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use content::Digest;

/// Packages beyond this many KiB are left out: one of them alone would be half of an image.
const LARGEST: u64 = 100 << 10;

/// An installed package.
#[derive(Clone, Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

/// A package with its files, as paths below `/`.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) package: String,
    pub(super) paths: Vec<PathBuf>,
    /// Bytes of its regular files.
    pub(super) bytes: u64,
}

/// All installed packages but the very large, by the digests of their names: what follows one
/// another has nothing to do with each other, as in an image of many hands.
pub(super) fn installed() -> anyhow::Result<Vec<Package>> {
    let format = "${db:Status-Abbrev}\t${Installed-Size}\t${Package}\t${Version}\n";
    let text = output(Command::new("dpkg-query").args(["--show", "--showformat", format]))?;
    let mut packages: Vec<Package> = String::from_utf8(text)?
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let (status, kib) = (fields.next()?, fields.next()?.parse::<u64>().ok()?);
            let (name, version) = (fields.next()?.to_owned(), fields.next()?.to_owned());
            (status.trim() == "ii" && kib <= LARGEST).then_some(Package { name, version })
        })
        .collect();
    packages.sort_by_key(|package| Digest::of(package.name.as_bytes()));
    ensure!(!packages.is_empty(), "no package is installed");
    Ok(packages)
}

/// The files of a package that no package before it has: regular ones and symbolic links, where
/// they are on disk (`/bin/x` is `/usr/bin/x` on a merged system).
pub(super) fn files(package: &Package, taken: &mut BTreeSet<PathBuf>) -> anyhow::Result<Files> {
    let listed = output(Command::new("dpkg").args(["--listfiles", &package.name]))?;
    let mut files = Files { package: package.name.clone(), paths: Vec::new(), bytes: 0 };
    for line in listed.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/")) {
        let Some(path) = on_disk(Path::new(OsStr::from_bytes(line))) else { continue };
        let Ok(about) = path.symlink_metadata() else { continue };
        let below = path.strip_prefix("/")?.to_owned();
        if (about.is_file() || about.is_symlink()) && taken.insert(below.clone()) {
            files.bytes += if about.is_file() { about.len() } else { 0 };
            files.paths.push(below);
        }
    }
    files.paths.sort();
    Ok(files)
}

/// The path with all links before its last part followed.
fn on_disk(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?.canonicalize().ok()?;
    Some(folder.join(path.file_name()?))
}

/// What a program prints.
pub(super) fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    Ok(output.stdout)
}
