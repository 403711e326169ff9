//! Who has the bytes of a data blob, and gives them by range.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ::bytes::Bytes;
use rafs::BlobId;
use registry::Credential;

/// Bytes that can be read anywhere.
pub trait ReadAt: Send + Sync + fmt::Debug {
    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// If there are not so many ([`io::ErrorKind::InvalidData`]: the image said that there were),
    /// or they cannot be read.
    fn read_at(&self, offset: u64, length: u64) -> io::Result<Bytes>;

    /// The same, if it can be had before `until`; what comes from a disk does not look at the clock.
    ///
    /// # Errors
    /// As [`Self::read_at`], and [`io::ErrorKind::TimedOut`].
    fn read_until(&self, offset: u64, length: u64, until: Instant) -> io::Result<Bytes> {
        let _ = until;
        self.read_at(offset, length)
    }

    /// How many bytes there are.
    fn length(&self) -> u64;
}

/// Who has the data blobs of an image.
pub trait Blobs: Send + Sync + fmt::Debug {
    /// The bytes of one. A registry that must be asked for it is not waited for beyond `until`.
    ///
    /// # Errors
    /// If it is not to be had, in time.
    fn open(&self, blob: BlobId, until: Option<Instant>) -> io::Result<Arc<dyn ReadAt>>;

    /// Makes sure that the image's place has this blob, as whoever it belongs to says now: an image
    /// may name whatever it likes. What lies on this machine is asked nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::PermissionDenied`] if it says no; another one
    /// if it cannot be known before `until`.
    fn confirm(&self, blob: BlobId, until: Instant) -> io::Result<()> {
        let _ = (blob, until);
        Ok(())
    }

    /// What proves to the image's registry that we may read, for somebody who asks it on our behalf.
    ///
    /// # Errors
    /// If it has expired and cannot be renewed before `until`.
    fn authorization(&self, until: Instant) -> io::Result<Option<Credential>> {
        let _ = until;
        Ok(None)
    }
}

/// Nobody: for who looks at metadata only.
#[derive(Clone, Copy, Debug)]
pub struct NoBlobs;

impl Blobs for NoBlobs {
    fn open(&self, _: BlobId, _: Option<Instant>) -> io::Result<Arc<dyn ReadAt>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "no data blobs were given"))
    }
}

/// A part of a file: a blob's own file, or where it lies in an archive.
#[derive(Debug)]
pub struct FilePart {
    file: File,
    begin: u64,
    length: u64,
}

impl FilePart {
    /// All of a file.
    ///
    /// # Errors
    /// If its length cannot be told.
    pub fn whole(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, begin: 0, length })
    }

    /// `length` bytes of a file from `begin` on.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn new(file: File, begin: u64, length: u64) -> io::Result<Self> {
        let there = file.metadata()?.len();
        if begin.checked_add(length).is_none_or(|end| end > there) {
            return Err(short(begin, length, there));
        }
        Ok(Self { file, begin, length })
    }
}

impl ReadAt for FilePart {
    fn read_at(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        // Nothing is made room for that is not there.
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(short(offset, length, self.length));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.begin.saturating_add(offset))?;
        Ok(bytes.into())
    }

    fn length(&self) -> u64 {
        self.length
    }
}

/// That bytes are asked for which are not there.
pub(crate) fn short(offset: u64, length: u64, there: u64) -> io::Error {
    let said = format!("{length} bytes at {offset} are beyond its end: it has {there}");
    io::Error::new(io::ErrorKind::InvalidData, said)
}

/// A folder of blobs, each named by its digest in hex, as `nydus-image` leaves them.
#[derive(Clone, Debug)]
pub struct BlobFolder {
    /// The folder.
    pub folder: PathBuf,
    /// The blob in which the bootstrap lies that is read.
    pub inline: Option<PathBuf>,
}

impl Blobs for BlobFolder {
    fn open(&self, blob: BlobId, _: Option<Instant>) -> io::Result<Arc<dyn ReadAt>> {
        let path = match (blob, &self.inline) {
            (BlobId::Digest(id), _) => self.folder.join(id.to_hex()),
            (BlobId::Inline, Some(path)) => path.clone(),
            (BlobId::Inline, None) => {
                let said = "the image's data is in the blob that its bootstrap was taken from: \
                            give that blob as the bootstrap";
                return Err(io::Error::new(io::ErrorKind::NotFound, said));
            }
        };
        let file = File::open(&path);
        let file =
            file.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Ok(Arc::new(FilePart::whole(file)?))
    }
}

/// One file for every blob: for images of one.
#[derive(Clone, Debug)]
pub struct OneBlob(pub PathBuf);

impl Blobs for OneBlob {
    fn open(&self, _: BlobId, _: Option<Instant>) -> io::Result<Arc<dyn ReadAt>> {
        let path = &self.0;
        let file = File::open(path);
        let file =
            file.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Ok(Arc::new(FilePart::whole(file)?))
    }
}
