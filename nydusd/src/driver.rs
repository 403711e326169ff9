//! Which of the two ways an image is mounted.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lazy::{LazyImage, Urgency, Want};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::Mapping;

use crate::erofs;
use crate::fuse::copies::Space;
use crate::fuse::readers::Readers;
use crate::fuse::session::{self, Mounted};
use crate::fuse::tree::ImageTree;
use crate::open::Opened;

/// So long registries have to confirm, at a mount, the blobs of which something is here already.
pub(crate) const PROVE: Duration = Duration::from_secs(5);

/// The way into the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// EROFS if the kernel mounts it from files, otherwise FUSE
    Auto,
    /// The tree is served through FUSE: everywhere
    Fuse,
    /// The kernel reads the tree itself, and asks for missing pages of blobs (Linux 6.12)
    Erofs,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fuse => "fuse",
            Self::Erofs => "erofs",
        })
    }
}

/// Asks for what can be a device of the mount, if it is ours to have. Mostly that is nothing: after a
/// start, nothing was verified yet.
pub fn prove(driver: Driver, image: &LazyImage<Mapping>) {
    if driver != Driver::Fuse {
        image.prove_devices(&Want::within(PROVE, Urgency::Blocked));
    }
}

/// Asks for the rest of what is kept; nobody waits for the answer but reads that come before it.
pub fn prove_rest(image: &Arc<LazyImage<Mapping>>) {
    let image = Arc::clone(image);
    let asking = thread::Builder::new().name("prove".to_owned());
    let asking = asking.spawn(move || image.prove_kept(&Want::within(PROVE, Urgency::Blocked)));
    if let Err(error) = asking {
        tracing::debug!(%error, "reads ask for themselves");
    }
}

/// Mounts an image on the folder `at`, whose reads may wait in `readers`; `name` is what the list of mounts says it is.
/// Says which way it was.
///
/// # Errors
/// If the kernel refuses.
pub fn mount(
    driver: Driver,
    opened: Opened,
    readers: &Readers,
    space: &Arc<Space>,
    at: &Path,
    name: &str,
) -> io::Result<(Mounted, Driver)> {
    let Opened { image, bootstrap } = opened;
    if driver != Driver::Fuse {
        match erofs::mount::mount(&image, readers, bootstrap.path(), at) {
            Err(error) if driver == Driver::Auto && is_unknown(&error) => {
                tracing::info!(%error, "the kernel mounts no EROFS from files: FUSE it is");
            }
            done => return Ok((done?, Driver::Erofs)),
        }
    }
    let mounted = session::mount(ImageTree::new(image, readers.clone(), space), at, name)?;
    Ok((mounted, Driver::Fuse))
}

/// Whether the kernel has no EROFS, wants a block device for it, or an image that it understands.
fn is_unknown(error: &io::Error) -> bool {
    let unknown = [Errno::NODEV, Errno::NOTBLK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL];
    unknown.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
