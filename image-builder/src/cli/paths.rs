//! Paths in an image, as they come on the command line: bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::Context;
use tree::Path;

/// The bytes of an argument.
#[must_use]
pub fn bytes(path: &OsStr) -> &[u8] {
    path.as_bytes()
}

/// The path that an argument spells.
///
/// # Errors
/// If no file can be there.
pub fn clean(path: &OsStr) -> anyhow::Result<Path> {
    Path::parse(path.as_bytes()).with_context(|| format!("{path:?} cannot be a path in an image"))
}
