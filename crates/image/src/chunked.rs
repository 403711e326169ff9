//! A chunked image where images are: a registry, a layout folder, an archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use content::Digest;
use layer::{Limits, TarReader, Unpacker};
use rafs::BlobId;
use rafs::ondisk::MAX_BOOTSTRAP;
use registry::Credential;

use crate::beside::Beside;
use crate::local::META;
use crate::oci::{Descriptor, Manifest, annotation};
use crate::store::{Document, Store, StoreError, Verifying};

use crate::bytes::{Blobs, FilePart, ReadAt, short};
use crate::{OpenError, Parts};

/// How much of a blob is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Some chunks: a registry is asked for each.
    Parts,
    /// Most of it: it is fetched whole, once, into a file that nobody else sees.
    Whole,
}

/// The parts of a chunked image in a store.
#[derive(Debug)]
pub struct InPlace {
    /// What it is opened from.
    pub parts: Parts,
    /// The digest of the bootstrap layer, uncompressed.
    pub bootstrap_diff_id: Digest,
}

/// Finds the parts of the image that `document`, a manifest, is of. The bootstrap was checked: it is
/// the one that the manifest names.
///
/// # Errors
/// If it is no chunked image, or cannot be read, or is another one than it says.
pub fn parts(
    store: &Arc<dyn Store>,
    document: &Document,
    reach: Reach,
) -> Result<InPlace, OpenError> {
    let said = said(document)?;
    let found = read_bootstrap(&**store, said.bootstrap)?;
    let parts = Parts {
        bootstrap: found.bootstrap,
        blobs: blobs(store, said.manifest, reach),
        metas: found.metas,
        merkle: found.merkle,
        root: said.root,
    };
    Ok(InPlace { parts, bootstrap_diff_id: found.diff_id })
}

/// What a manifest says of a chunked image.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// All of it.
    pub manifest: &'a Manifest,
    /// The bootstrap layer.
    pub bootstrap: &'a Descriptor,
    /// The merkle root, if it says one.
    pub root: Option<Digest>,
}

/// What `document`, a manifest, says of a chunked image.
///
/// # Errors
/// If it is no chunked image, or its merkle root is no digest.
pub fn said(document: &Document) -> Result<Said<'_>, OpenError> {
    let manifest = document.manifest().ok_or(OpenError::NotChunked)?;
    let bootstrap = manifest.bootstrap().ok_or(OpenError::NotChunked)?;
    let root = match manifest.annotations.get(annotation::MERKLE_ROOT) {
        Some(said) => Some(said.parse().map_err(|_| OpenError::RootText(said.clone()))?),
        None => None,
    };
    Ok(Said { manifest, bootstrap, root })
}

/// The data blobs of an image in a store, as its manifest lists them.
#[must_use]
pub fn blobs(store: &Arc<dyn Store>, manifest: &Manifest, reach: Reach) -> Box<dyn Blobs> {
    let lengths = manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
    Box::new(InStore { store: Arc::clone(store), lengths, reach })
}

/// The data blobs of an image in a store, without a manifest that lists them: how long each is, is
/// asked for at its first use.
#[must_use]
pub fn unlisted_blobs(store: Arc<dyn Store>, reach: Reach) -> Box<dyn Blobs> {
    Box::new(InStore { store, lengths: HashMap::new(), reach })
}

/// What is in a bootstrap layer.
#[derive(Debug)]
pub struct Found {
    /// The bootstrap.
    pub bootstrap: Bytes,
    /// The blobs' compression info as files, of those that came with it.
    pub metas: HashMap<Digest, Bytes>,
    /// The hashes of the tree, if they came with it.
    pub merkle: Option<Bytes>,
    /// The digest of the layer, uncompressed.
    pub diff_id: Digest,
}

/// Reads a bootstrap layer.
///
/// # Errors
/// If it cannot be read, is another one than the descriptor says, or has no bootstrap.
pub fn read_bootstrap(store: &dyn Store, layer: &Descriptor) -> Result<Found, OpenError> {
    found(store.read_blob(layer)?, layer, &in_memory)
}

/// How a bootstrap is held, which may have up to [`MAX_BOOTSTRAP`] bytes.
pub type Hold<'a> = &'a dyn Fn(&mut dyn Read) -> io::Result<Bytes>;

/// The same, of a layer whose bytes may come from elsewhere, and are not believed either. Its bootstrap
/// is what `hold` makes of the bytes.
///
/// # Errors
/// As [`read_bootstrap`], and those of `hold`.
pub fn read_bootstrap_from(
    bytes: impl Read,
    layer: &Descriptor,
    hold: Hold<'_>,
) -> Result<Found, OpenError> {
    found(Verifying::new(bytes, layer.digest, layer.size), layer, hold)
}

fn found(
    mut stored: Verifying<impl Read>,
    layer: &Descriptor,
    hold: Hold<'_>,
) -> Result<Found, OpenError> {
    let failed = |error| OpenError::Layer { layer: layer.digest, error };
    let limits = Limits::default();
    let mut hasher = content::BlobHasher::new();
    let unpacker = Unpacker::new(&mut stored, limits);
    let unpacker = unpacker.map_err(OpenError::read("the bootstrap layer"))?;
    let mut tar = TarReader::new(Hashing { inner: unpacker, hasher: &mut hasher }, limits);
    let (mut bootstrap, mut beside) = (None, Beside::new());
    while let Some(member) = tar.next_member().map_err(failed)? {
        // `image/` before the names; very old images have none.
        let path = member.path.strip_prefix(b"./").unwrap_or(&member.path);
        let name = path.strip_prefix(b"image/").unwrap_or(path).to_vec();
        let data = tar.data(&member);
        let read = match &name[..] {
            b"image.boot" => hold(&mut data.take(MAX_BOOTSTRAP)).map(|bytes| {
                beside.is_beside(&bytes);
                bootstrap = Some(bytes);
            }),
            b"image.merkle" => beside.merkle(data),
            name => match blob_of(name) {
                Some(blob) => beside.meta(blob, data),
                None => Ok(()),
            },
        };
        read.map_err(OpenError::read("the bootstrap layer"))?;
    }
    drop(tar);
    // The end of the layer, behind the end of the tar, has its say in its digest.
    stored.drain().map_err(OpenError::read("the bootstrap layer"))?;
    let bootstrap = bootstrap.ok_or(OpenError::NoBootstrap(layer.digest))?;
    let Beside { metas, merkle, .. } = beside;
    Ok(Found { bootstrap, metas, merkle, diff_id: hasher.finish() })
}

fn in_memory(data: &mut dyn Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// The blob whose compression info a file of this name is.
fn blob_of(name: &[u8]) -> Option<Digest> {
    let hex = std::str::from_utf8(name.strip_suffix(META.as_bytes())?).ok()?;
    format!("sha256:{hex}").parse().ok()
}

/// A reader that hashes.
struct Hashing<'a, R> {
    inner: R,
    hasher: &'a mut content::BlobHasher,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The data blobs of an image in a store.
#[derive(Debug)]
struct InStore {
    store: Arc<dyn Store>,
    /// As the manifest has them.
    lengths: HashMap<Digest, u64>,
    reach: Reach,
}

fn other(error: StoreError) -> io::Error {
    io::Error::new(error.kind(), error)
}

impl Blobs for InStore {
    fn open(&self, blob: BlobId, until: Option<Instant>) -> io::Result<Arc<dyn ReadAt>> {
        let BlobId::Digest(digest) = blob else {
            let said = "the image says that its data is in the blob of its bootstrap";
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        };
        if let Some(file) = self.store.blob_file(&digest).map_err(other)? {
            return Ok(Arc::new(file));
        }
        let length = match self.lengths.get(&digest) {
            Some(length) => *length,
            // Not listed, as it should be; it may be there all the same.
            None => {
                self.store.blob_length(&digest, until).map_err(other)?.ok_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, "the blob is not there")
                })?
            }
        };
        let ranges = Ranges { store: Arc::clone(&self.store), digest, length };
        match self.reach {
            Reach::Parts => Ok(Arc::new(ranges)),
            Reach::Whole => Ok(Arc::new(ranges.spool()?)),
        }
    }

    fn confirm(&self, blob: BlobId, until: Instant) -> io::Result<()> {
        let BlobId::Digest(digest) = blob else { return Ok(()) };
        if self.store.confirms(&digest, until).map_err(other)? {
            return Ok(());
        }
        let said = format!("{} has no blob {digest}", self.store.place());
        Err(io::Error::new(io::ErrorKind::NotFound, said))
    }

    fn authorization(&self, until: Instant) -> io::Result<Option<Credential>> {
        self.store.authorization(until).map_err(other)
    }
}

/// A blob of which parts are asked for.
#[derive(Debug)]
struct Ranges {
    store: Arc<dyn Store>,
    digest: Digest,
    length: u64,
}

impl Ranges {
    /// All of it, in a file without a name.
    fn spool(&self) -> io::Result<FilePart> {
        let mut file: File = tempfile::tempfile()?;
        let mut reader = self.store.open_blob(&self.digest, 0..self.length).map_err(other)?;
        io::copy(&mut reader, &mut file)?;
        FilePart::whole(file)
    }

    fn part(&self, offset: u64, length: u64, until: Option<Instant>) -> io::Result<Bytes> {
        let end = offset.checked_add(length).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| short(offset, length, self.length))?;
        let bytes = self.store.part(&self.digest, offset..end, until).map_err(other)?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(short(offset, length, offset.saturating_add(bytes.len() as u64)))
        }
    }
}

impl ReadAt for Ranges {
    fn read_at(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        self.part(offset, length, None)
    }

    fn read_until(&self, offset: u64, length: u64, until: Instant) -> io::Result<Bytes> {
        self.part(offset, length, Some(until))
    }

    fn length(&self) -> u64 {
        self.length
    }
}
