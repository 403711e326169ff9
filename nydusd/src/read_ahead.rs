//! How far the kernel reads ahead of who reads in order: its own 128 KiB is an eighth of a chunk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As far as a chunk usually is long.
const KIB: &str = "1024";

/// Where the kernel lists what can be read ahead of (sysfs, `class/bdi`).
const LISTED: &str = "/sys/class/bdi";

/// Of the file system at `at`, if the kernel lists it by its device's number, as it does FUSE.
pub(crate) fn set(at: &Path) {
    if let Ok(device) = fs::metadata(at).map(|at| at.dev()) {
        write(&format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)));
    }
}

/// The EROFS mounts that there are. Their names (`erofs-7`) are counted up and stand nowhere else.
#[derive(Debug)]
pub(crate) struct Before(BTreeSet<String>);

impl Before {
    /// Those of now.
    pub(crate) fn now() -> Self {
        Self(erofs())
    }

    /// Of those that came since.
    pub(crate) fn set_new(&self) {
        erofs().difference(&self.0).for_each(|name| write(name));
    }
}

fn erofs() -> BTreeSet<String> {
    let Ok(listed) = fs::read_dir(LISTED) else { return BTreeSet::new() };
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("erofs-")).collect()
}

/// Where it cannot be changed, it stays as it is.
fn write(name: &str) {
    let file = Path::new(LISTED).join(name).join("read_ahead_kb");
    if let Err(error) = fs::write(&file, KIB) {
        tracing::debug!(%error, file = %file.display(), "the kernel reads ahead as far as it likes");
    }
}
