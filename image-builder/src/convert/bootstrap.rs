//! The bootstrap's layer: what a reader fetches first.
//!
//! A tar under gzip with the folder `image/`: `image.boot`, `<digest>.blob.meta` for each data
//! blob, and `image.merkle`, which others do not look at.

use std::io::{self, Write};
use std::sync::Arc;

use content::{BlobHasher, Digest};
use flate2::Compression;
use flate2::write::GzEncoder;
use layer::{Member, MemberKind, TarWriter};
use merkle::Hashes;
use rafs::Image;
use tree::{Meta, Mode};

use super::blob::DataBlob;
use super::error::ConvertError;
use super::spool::{Spool, SpoolFolder};
use crate::store::NewBlob;

/// A bootstrap's layer.
#[derive(Debug)]
pub(crate) struct BootstrapLayer {
    pub(crate) blob: NewBlob,
    /// The digest of the tar.
    pub(crate) diff_id: Digest,
    /// The merkle root of the tree.
    pub(crate) root: Digest,
}

/// Writes the layer of `image`, whose blobs these are.
pub(crate) fn layer(
    image: Image,
    blobs: &[DataBlob],
    spool: &SpoolFolder,
) -> Result<BootstrapLayer, ConvertError> {
    let hashes = crate::merkle_of(&image)?;
    // While the bootstrap is written, the most memory is in use: what has been made lies on the disk.
    let mut beside = spool.file()?;
    beside.append(&mut vec![hashes.to_bytes(&image.tree).into()])?;
    let root = hashes.root();
    drop::<Hashes>(hashes);
    let bootstrap = image.write()?;
    // The tree takes more than all that was made of it.
    drop(image);
    let gzip = GzEncoder::new(Hashing::new(spool.file()?), Compression::new(6));
    let mut tar = TarWriter::new(Hashing::new(gzip));
    put(&mut tar, b"image", MemberKind::Directory, &[])?;
    put(&mut tar, b"image/image.boot", MemberKind::File, &bootstrap)?;
    drop(bootstrap);
    for blob in blobs {
        let Some(meta) = &blob.meta_file else { continue };
        let name = format!("image/{}.blob.meta", blob.digest.to_hex());
        put(&mut tar, name.as_bytes(), MemberKind::File, meta)?;
    }
    let failed = |error| ConvertError::Tar(layer::WriteError::Io(error));
    let beside = beside.into_bytes().map_err(failed)?;
    put(&mut tar, b"image/image.merkle", MemberKind::File, &beside)?;
    let tar = tar.finish().map_err(failed)?;
    let diff_id = tar.hasher.finish();
    let packed = tar.inner.finish().map_err(failed)?;
    let length = packed.hasher.hashed();
    let digest = packed.hasher.finish();
    let file = Arc::clone(&Spool::done(packed.inner));
    Ok(BootstrapLayer { blob: NewBlob { digest, length, file }, diff_id, root })
}

fn put(
    tar: &mut TarWriter<impl Write>,
    path: &[u8],
    kind: MemberKind,
    bytes: &[u8],
) -> Result<(), ConvertError> {
    let mode = Mode::new(if kind == MemberKind::Directory { 0o755 } else { 0o644 });
    let member = Member {
        path: path.to_vec(),
        kind,
        link: Vec::new(),
        meta: Meta { mode, ..Meta::default() },
        size: bytes.len() as u64,
        extents: Vec::new(),
    };
    Ok(tar.append(&member, |out| out.write_all(bytes))?)
}

/// A writer that hashes.
struct Hashing<W> {
    inner: W,
    hasher: BlobHasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: BlobHasher::new() }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
