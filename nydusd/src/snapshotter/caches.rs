//! Which folder the chunks go to. The snapshotter names one cache folder for all its daemons, and in
//! its dedicated mode starts one for each image; a chunk cache has one process. So each takes a
//! numbered folder of its own in there, that of an earlier process if it is free and has the image's
//! blobs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use content::Digest;
use image::local;

use crate::node::{Node, Supply, is_in_use};

/// So many processes may use one cache folder.
const MOST: u32 = 1024;

/// How the folders are called, in front of their number.
const PREFIX: &str = "meganeura-";

/// A node whose chunks are kept in a free folder of `cache`: one that has blobs of the image with
/// this bootstrap, if there is one.
///
/// # Errors
/// If there is none that can be used.
pub fn take(cache: &Path, bootstrap: &Path, supply: &Supply) -> anyhow::Result<Node> {
    let beside = bootstrap.parent().map(local::blobs_with_info).unwrap_or_default();
    let there = there(cache);
    let (good, other): (Vec<_>, Vec<_>) =
        there.iter().partition(|number| has(&folder(cache, **number), &beside));
    let new = (0..MOST).filter(|number| !there.contains(number));
    for number in good.into_iter().chain(other).copied().chain(new) {
        let folder = folder(cache, number);
        match Node::new(&folder, supply) {
            Ok(node) => return Ok(node),
            Err(error) if is_in_use(&error) => {}
            Err(error) => return Err(error),
        }
    }
    bail!("{} is used by {MOST} processes already", cache.display())
}

fn folder(cache: &Path, number: u32) -> PathBuf {
    cache.join(format!("{PREFIX}{number}"))
}

/// The numbers that there are.
fn there(cache: &Path) -> BTreeSet<u32> {
    let names = std::fs::read_dir(cache).into_iter().flatten().flatten();
    names.filter_map(|name| name.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()).collect()
}

/// Whether a chunk cache has one of these blobs.
fn has(folder: &Path, blobs: &[Digest]) -> bool {
    blobs.iter().any(|blob| folder.join("blobs").join(format!("{}.map", blob.to_hex())).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_folder_and_finds_its_blobs_again() {
        let folder = tempfile::tempdir().unwrap();
        let supply = Supply {
            quota: 1 << 20,
            dfdaemon: "/nowhere".into(),
            read_limit: std::time::Duration::from_secs(1),
        };
        let (cache, image) = (folder.path().join("cache"), folder.path().join("image"));
        std::fs::create_dir(&image).unwrap();
        let blob = Digest::of(b"blob").to_hex();
        std::fs::write(image.join(format!("{blob}.blob.meta")), "").unwrap();
        let take = |bootstrap: &str| take(&cache, &folder.path().join(bootstrap), &supply).unwrap();
        let first = take("other/image.boot");
        let second = take("image/image.boot");
        assert!(first.folder().ends_with("meganeura-0"));
        assert!(second.folder().ends_with("meganeura-1"));
        for end in ["map", "data"] {
            std::fs::write(second.folder().join(format!("blobs/{blob}.{end}")), "").unwrap();
        }
        drop((first, second));
        // The first is free too, but has nothing of it. (What is no map is thrown away then.)
        assert!(take("image/image.boot").folder().ends_with("meganeura-1"));
    }
}
