//! Folders of many small files, and images of them, made once and kept in `target/bench/data`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mounts::done;

/// So many files are in a folder.
const FOLDER: u32 = 100;

/// A folder, and a chunked image of it in a layout folder.
#[derive(Clone, Debug)]
pub struct Packed {
    folder: PathBuf,
}

impl Packed {
    /// `count` small files, each of them another one for another `seed`, and whatever `more` puts
    /// beside them.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn of(
        count: u32,
        seed: u32,
        more: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = crate::folder()?.join("data").join(format!("files-{count}-{seed}"));
        if !folder.is_dir() {
            eprintln!("making an image of {count} files");
            let new = folder.with_extension("new");
            if new.exists() {
                fs::remove_dir_all(&new)?;
            }
            let tree = new.join("tree");
            files(&tree, count, seed)?;
            more(&tree)?;
            let mut pack = Command::new(testbed::process::binary("image-builder")?);
            done(
                pack.arg("pack").arg(&tree).arg(format!("oci:{}:v1", new.join("layout").display())),
            )?;
            fs::rename(&new, &folder)?;
        }
        Ok(Self { folder })
    }

    /// The files.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The image, as `nydusd` is told it.
    #[must_use]
    pub fn image(&self) -> String {
        format!("oci:{}:v1", self.folder.join("layout").display())
    }
}

/// Two levels of folders, so that none is large.
fn files(tree: &Path, count: u32, seed: u32) -> anyhow::Result<()> {
    for first in (0..count).step_by(FOLDER as usize) {
        let folder = tree.join(format!("{}/{}", first / FOLDER % 10, first / FOLDER));
        fs::create_dir_all(&folder)?;
        for number in first..count.min(first + FOLDER) {
            fs::write(folder.join(format!("file-{number}")), format!("{number} of {seed}\n"))?;
        }
    }
    Ok(())
}
