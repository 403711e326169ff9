//! The smallest file system from which a container runs: some of this machine's own programs, with
//! the libraries that they load.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Puts `programs` of this machine below `root`, each in `/bin`, and their libraries where they are
/// looked for.
///
/// # Errors
/// If one is not here.
pub fn with_programs(root: &Path, programs: &[&str]) -> anyhow::Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let mut libraries = BTreeSet::new();
    for name in programs {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
        let program = found.iter().find(|path| path.is_file());
        let program = program.with_context(|| format!("there is no {name}"))?;
        fs::copy(program, root.join("bin").join(name))?;
        libraries.extend(libraries_of(program)?);
    }
    for library in libraries {
        let place = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(place.parent().context("a library lies in a folder")?)?;
        fs::copy(&library, place)?;
    }
    Ok(())
}

/// `NAME => /path (0x…)`, and the loader as a path alone.
fn libraries_of(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(program).output()?;
    ensure!(listed.status.success(), "{} loads nothing", program.display());
    let listed = String::from_utf8(listed.stdout)?;
    let paths = listed.lines().filter_map(|line| {
        let path = line.split("=>").last()?.split_whitespace().next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    Ok(paths.collect())
}
