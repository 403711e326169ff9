//! What a command line names becomes an image whose files can be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use content::Digest;
use image::bytes::Blobs;
use image::choose::{Want, choose};
use image::chunked::{self, Reach, Said};
use image::local::{self, BlobsAt};
use image::oci::{Descriptor, Platform};
use image::place::Place;
use image::registry::{Reference, Repository};
use image::store::{Client, Store};
use image::{OpenError, causes};
use lazy::{BlobFrom, BlobKey, ChunkCache, LazyImage, Urgency};
use rafs::{Blob, BlobId, Bootstrap};
use sys::Mapping;

use crate::driver::PROVE;
use crate::grants::Grants;
use crate::metadata::documents::Remembered;
use crate::metadata::{Fresh, Kept, Key, Metadata};
use crate::origin::Origin;
use crate::swarm::{Daemon, Swarm, WholeBlob};
use crate::tally::From;

/// What a command line says of an image.
#[derive(Clone, Debug)]
pub struct Named {
    /// A registry reference, a layout, an archive, or the path of a bootstrap.
    pub name: String,
    /// With a bootstrap: where its blobs are.
    pub blobs: BlobsAt,
    /// Of several images under one name, which.
    pub platform: Option<Platform>,
    /// The very manifest, where it is known already.
    pub manifest: Option<Digest>,
}

/// An image that was found.
#[derive(Debug)]
pub struct Found {
    /// Its bootstrap, which was checked, on this node's disk.
    pub kept: Arc<Kept>,
    /// Who has its blobs.
    pub blobs: Box<dyn Blobs>,
    /// Its repository, if it lies in a registry.
    pub repository: Option<Repository>,
    /// Its manifest, if it has one.
    pub manifest: Option<Digest>,
}

/// Finds an image; its metadata is in `metadata` then. That of an image in a registry comes by way of
/// `daemon`; `grants` remembers that its registry gives it.
///
/// # Errors
/// If there is no such image, it is none, another one than its manifest says, or not for us.
pub fn find(
    named: &Named,
    client: impl FnOnce() -> anyhow::Result<Client>,
    metadata: &Metadata,
    (daemon, grants): (&Daemon, &Grants),
) -> anyhow::Result<Found> {
    let context = || format!("{} cannot be opened", named.name);
    match local::bootstrap_at(&named.name) {
        Some(path) => find_files(&path, &named.blobs, metadata).with_context(context),
        None => find_stored(named, &client()?, metadata, (daemon, grants)).with_context(context),
    }
}

/// Finds the image whose bootstrap is the file `bootstrap`, and whose blobs are files.
///
/// # Errors
/// If the files cannot be read, or are no image.
pub fn find_files(bootstrap: &Path, blobs: &BlobsAt, metadata: &Metadata) -> anyhow::Result<Found> {
    let (bootstrap, kept) = believed(bootstrap, metadata)?;
    let blobs = local::blobs(&bootstrap, blobs)?;
    Ok(Found { kept, blobs, repository: None, manifest: None })
}

/// Finds the image whose bootstrap is the file `bootstrap`, and whose blobs lie in `repository`.
/// Nothing is asked of the registry yet.
///
/// # Errors
/// If the file cannot be read, or is no bootstrap.
pub fn find_beside(
    bootstrap: &Path,
    repository: Repository,
    client: &Client,
    metadata: &Metadata,
) -> anyhow::Result<Found> {
    let (_, kept) = believed(bootstrap, metadata)?;
    // Its blobs have names of their own; no tag is ever asked for.
    let reference = Reference::parse("latest")?;
    let place = Place::Registry { repository: repository.clone(), reference };
    let blobs = chunked::unlisted_blobs(client.open(&place)?, Reach::Parts);
    Ok(Found { kept, blobs, repository: Some(repository), manifest: None })
}

/// A bootstrap that is a file: where it lies, and what it is. Its blobs' compression info may lie
/// beside it.
fn believed(path: &Path, metadata: &Metadata) -> anyhow::Result<(PathBuf, Arc<Kept>)> {
    tracing::warn!(
        bootstrap = %path.display(),
        "the bootstrap is a local file, which nothing vouches for: what it says is believed"
    );
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    let key = Key::of_file(&path, &path.metadata()?, SystemTime::now());
    let kept = metadata.get(&key, None, || {
        let bootstrap = local::read_bootstrap(&path)?;
        Ok(Fresh { bootstrap, metas: path.parent().map(local::infos).unwrap_or_default() })
    })?;
    Ok((path, kept))
}

/// An image in a registry, a layout, an archive.
fn find_stored(
    named: &Named,
    client: &Client,
    metadata: &Metadata,
    (daemon, grants): (&Daemon, &Grants),
) -> anyhow::Result<Found> {
    let place: Place = named.name.parse()?;
    let mut store = client.open(&place)?;
    let repository = match place {
        Place::Registry { repository, .. } => {
            store = Arc::new(Remembered::new(store, metadata.folder()));
            Some(repository)
        }
        _ => None,
    };
    let document = match &named.manifest {
        Some(digest) => store.document(digest)?,
        None => choose(&store, Want::Chunked, named.platform.as_ref())?,
    };
    let said = chunked::said(&document)?;
    let mut came = false;
    let hold: chunked::Hold<'_> = &|data| metadata.hold(data);
    let kept = fetched(&said, metadata, || {
        came = true;
        let layer = said.bootstrap;
        match repository.as_ref().map(|of| by_way_of(daemon, of, &*store, layer, hold)) {
            Some(Ok(found)) => return Ok(found),
            Some(Err(error)) => {
                let error = causes(&error);
                tracing::debug!(error, "metadata not by way of dfdaemon: asking the registry");
            }
            None => {}
        }
        let bytes = store.open_blob(&layer.digest, 0..layer.size.saturating_add(1))?;
        chunked::read_bootstrap_from(bytes, layer, hold)
    })?;
    let bootstrap = said.bootstrap.digest;
    let blobs = chunked::blobs(&store, said.manifest, Reach::Parts);
    match &repository {
        Some(repository) if came => grants.note(repository, &bootstrap),
        // It is kept for whoever was here before: it is for us if our registry says so.
        Some(repository) => grants
            .confirm(repository, &bootstrap, &lazy::Want::within(PROVE, Urgency::Blocked), |want| {
                blobs.confirm(BlobId::Digest(bootstrap), want.until)
            })
            .context("its registry does not say that the image's metadata is there for us")?,
        None => {}
    }
    Ok(Found { kept, blobs, repository, manifest: Some(document.descriptor.digest) })
}

/// The bootstrap layer `layer` by way of dfdaemon.
fn by_way_of(
    daemon: &Daemon,
    repository: &Repository,
    store: &dyn Store,
    layer: &Descriptor,
    hold: chunked::Hold<'_>,
) -> Result<chunked::Found, OpenError> {
    // The manifest has just come: what met the registry's challenge is at hand, if anything had to.
    let until = lazy::Want::within(PROVE, Urgency::Blocked).until;
    let credential = store.authorization(until).ok().flatten();
    let blob = WholeBlob::new(daemon, repository, (&layer.digest, layer.size), credential);
    chunked::read_bootstrap_from(blob, layer, hold)
}

/// The bootstrap that a manifest says, as it is kept, or as `fetch` gives it.
fn fetched(
    said: &Said<'_>,
    metadata: &Metadata,
    fetch: impl FnOnce() -> Result<chunked::Found, OpenError>,
) -> anyhow::Result<Arc<Kept>> {
    match &said.root {
        Some(root) => tracing::debug!(%root, "the tree must have the manifest's merkle root"),
        None => {
            tracing::info!("the manifest says no merkle root: its digest of the bootstrap does")
        }
    }
    metadata.get(&Key::Layer(said.bootstrap.digest), said.root, || {
        let found = fetch()?;
        Ok(Fresh { bootstrap: found.bootstrap, metas: found.metas })
    })
}

/// An image that can be mounted.
#[derive(Debug)]
pub struct Opened {
    /// Its files.
    pub image: Arc<LazyImage<Mapping>>,
    /// Its bootstrap, as a file.
    pub bootstrap: Arc<Kept>,
}

/// An image whose bootstrap is mapped, and whose chunks are kept in `cache`. Those of an image in a
/// registry come by way of `daemon`; `grants` remembers that it has them.
///
/// # Errors
/// If the bootstrap cannot be mapped.
pub fn open(
    found: Found,
    daemon: &Arc<Daemon>,
    grants: &Arc<Grants>,
    cache: Arc<ChunkCache>,
) -> anyhow::Result<Opened> {
    let Found { kept, blobs, repository, .. } = found;
    let mapping = kept.map().context("the bootstrap cannot be mapped")?;
    let bootstrap = Bootstrap::parse_tree(mapping).context("the image's metadata is wrong")?;
    let blobs: Arc<dyn Blobs> = Arc::from(blobs);
    let image = LazyImage::new(bootstrap, cache, |blob: &Blob| BlobFrom {
        key: match blob.id {
            BlobId::Digest(digest) => BlobKey::Blob(digest),
            BlobId::Inline => BlobKey::Around(kept.sha256().unwrap_or_else(|| Digest::of(b""))),
        },
        source: {
            let from = if repository.is_some() { From::Registry } else { From::File };
            let tally = daemon.tally().clone();
            let origin = Origin::new(Arc::clone(&blobs), blob.id, from, tally);
            match (&repository, blob.id) {
                (Some(repository), BlobId::Digest(digest)) => {
                    let (daemon, grants) = (Arc::clone(daemon), Arc::clone(grants));
                    Arc::new(Swarm::new(daemon, repository, &digest, origin, grants))
                }
                _ => Arc::new(origin),
            }
        },
        info: match blob.id {
            // What cannot be mapped is asked of the blob.
            BlobId::Digest(digest) => kept.meta(&digest).ok().flatten(),
            BlobId::Inline => None,
        },
    });
    Ok(Opened { image: Arc::new(image), bootstrap: kept })
}

/// Where bootstraps are kept beside the chunk cache.
#[must_use]
pub fn metadata_folder(cache: &Path) -> PathBuf {
    cache.join("metadata")
}
