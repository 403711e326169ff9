//! What umoci unpacks.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use super::common::{Listing, list_folder};

/// Unpacks an image of these tars, the lowest first; `None` if umoci refuses.
pub(crate) fn unpack(scratch: &Path, layers: &[Vec<u8>]) -> Option<Listing> {
    let at = tempfile::tempdir_in(scratch).unwrap();
    let umoci = |arguments: &[&str]| {
        let output = Command::new("umoci").args(arguments).current_dir(&at).output();
        output.expect("umoci is installed").status.success()
    };
    assert!(umoci(&["init", "--layout", "oci"]) && umoci(&["new", "--image", "oci:x"]));
    for layer in layers {
        fs::write(at.path().join("layer.tar"), layer).unwrap();
        assert!(umoci(&["raw", "add-layer", "--image", "oci:x", "layer.tar"]));
    }
    umoci(&["unpack", "--image", "oci:x", "bundle"])
        .then(|| forget_clock(list_folder(&at.path().join("bundle/rootfs"))))
}

/// umoci leaves a directory the time of the clock when it made one in it that was only implied.
/// The times of these tests are before November 2023.
fn forget_clock(mut listing: Listing) -> Listing {
    for line in listing.values_mut().filter(|line| line.what.starts_with("dir")) {
        line.mtime = line.mtime.filter(|time| time.seconds() < 1_700_000_000);
    }
    listing
}
