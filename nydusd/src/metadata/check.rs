//! What is looked at before a bootstrap is kept, so before any kernel sees it.

use content::Digest;
use image::OpenError;
use image::root::root_of;
use rafs::Bootstrap;

/// Sees that all metadata holds together, and that the tree has the merkle root `said`, if somebody
/// says one.
///
/// # Errors
/// The first thing that is wrong; both roots if they differ.
pub fn check<B: AsRef<[u8]> + Sync>(
    bootstrap: &Bootstrap<B>,
    said: Option<Digest>,
) -> Result<(), OpenError> {
    let Some(said) = said else { return Ok(bootstrap.check().map(drop)?) };
    // Side by side: of an image of 200 000 files, either takes some hundred milliseconds. A root of
    // what does not hold together is some digest, and nobody hears of it.
    let (checked, root) = std::thread::scope(|scope| {
        let root = scope.spawn(|| check_root(bootstrap, said));
        (bootstrap.check(), root.join())
    });
    checked?;
    root.unwrap_or_else(|_| Err(OpenError::read("the tree")(std::io::ErrorKind::Other.into())))
}

/// Sees that the tree of a bootstrap that was checked has the merkle root `said`.
///
/// # Errors
/// Both roots if they differ.
pub fn check_root<B: AsRef<[u8]>>(bootstrap: &Bootstrap<B>, said: Digest) -> Result<(), OpenError> {
    let found = root_of(bootstrap)?;
    if found == said { Ok(()) } else { Err(OpenError::Root { said, found }) }
}
