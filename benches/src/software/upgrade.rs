//! What an upgrade does to a package: every file of it is another one, and much like before.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::packages::Files;

/// How far apart the bytes are that differ in a program that was built anew.
const APART: usize = 64 << 10;

/// The package whose bytes are nearest to `share` of `total`.
pub(super) fn pick(packages: &[Files], total: u64, share: f64) -> anyhow::Result<&Files> {
    #[expect(clippy::cast_precision_loss, reason = "a distance")]
    let distance = |files: &&Files| (files.bytes as f64 - share * total as f64).abs();
    let nearest = packages.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.context("the layer has no package")
}

/// Writes the package's regular files as they are after the upgrade to `folder`; which they are.
pub(super) fn stage(package: &Files, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new("/");
    let mut staged = Vec::new();
    for path in &package.paths {
        let from = root.join(path);
        if !from.symlink_metadata()?.is_file() {
            continue;
        }
        let to = folder.join(path);
        std::fs::create_dir_all(to.parent().context("a path of a file")?)?;
        std::fs::copy(&from, &to)?;
        std::fs::write(&to, upgraded(std::fs::read(&from)?))?;
        staged.push(path.clone());
    }
    Ok(staged)
}

/// A text has a line more in front, anything else has other bytes here and there.
fn upgraded(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() || bytes.contains(&0) {
        for place in bytes.chunks_mut(APART) {
            for byte in place.iter_mut().take(8) {
                *byte ^= 0x55;
            }
        }
        return bytes;
    }
    [&b"# The next version.\n"[..], &bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgraded_file_differs_in_every_part() {
        assert_eq!(upgraded(b"text".to_vec()), b"# The next version.\ntext");
        let before = vec![0; 3 * APART];
        let after = upgraded(before.clone());
        assert_eq!(after.len(), before.len());
        assert!(after.chunks(APART).all(|part| part != &before[..APART]));
        assert!(after.chunks(APART).all(|part| part[8..] == before[8..APART]));
    }

    #[test]
    fn the_nearest_package_is_picked() {
        let of = |package: &str, bytes| Files { package: package.into(), paths: vec![], bytes };
        let all = [of("a", 1), of("b", 33), of("c", 90)];
        assert_eq!(pick(&all, 1000, 0.03).expect("some").package, "b");
        assert!(pick(&[], 1000, 0.03).is_err());
    }
}
