//! What a test leaves out is said aloud.

use std::path::Path;

/// Says that a test, or a part of one, is left out, and why.
///
/// # Panics
/// In CI, where nothing may be left out.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Whether images can be mounted here.
///
/// # Panics
/// In CI, if not.
#[must_use]
pub fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        skipped("mounting needs root and /dev/fuse");
    }
    can
}
