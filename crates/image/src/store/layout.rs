//! An OCI layout folder (OCI image-spec, "Image Layout").

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use content::Digest;

use super::error::StoreError;
use super::index::{self, add};
use super::{BlobReader, Document, MANIFEST_LIMIT, NewBlob, Store};
use crate::bytes::FilePart;
use crate::oci::{Descriptor, Index};
use crate::place::Place;

/// A layout folder.
#[derive(Debug)]
pub struct Layout {
    place: Place,
    folder: PathBuf,
    tag: Option<String>,
    /// Held while the index is read and written back.
    writing: Mutex<()>,
}

impl Layout {
    /// A layout that is there.
    ///
    /// # Errors
    /// If it is none.
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        let layout = Self::new(place)?;
        layout.index()?;
        Ok(layout)
    }

    /// A layout that is there or is made.
    ///
    /// # Errors
    /// If the folder cannot be made, or is something else.
    pub fn create(place: &Place) -> Result<Self, StoreError> {
        let layout = Self::new(place)?;
        let blobs = layout.folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(StoreError::file(&blobs))?;
        let version = layout.folder.join("oci-layout");
        if !version.exists() {
            fs::write(&version, index::LAYOUT_VERSION).map_err(StoreError::file(&version))?;
        }
        if layout.folder.join("index.json").exists() {
            layout.index()?;
        }
        Ok(layout)
    }

    fn new(place: &Place) -> Result<Self, StoreError> {
        let Place::Layout { folder, tag } = place else {
            return Err(StoreError::NoLayout(PathBuf::from(place.to_string())));
        };
        let (folder, tag) = (folder.clone(), tag.clone());
        Ok(Self { place: place.clone(), folder, tag, writing: Mutex::new(()) })
    }

    fn index(&self) -> Result<Index, StoreError> {
        let path = self.folder.join("index.json");
        let no_layout = || StoreError::NoLayout(self.folder.clone());
        let bytes = read(&path, MANIFEST_LIMIT).map_err(|_| no_layout())?;
        serde_json::from_slice(&bytes).map_err(|_| no_layout())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.to_hex())
    }

    fn open_file(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                StoreError::NoSuchBlob { digest: *digest, place: self.place.to_string() }
            }
            _ => StoreError::File { path, error },
        })
    }

    /// Gives a file without a name this one, if it lies on the same file system: then nothing is
    /// copied. A file that has a name is another layout's, which does not want to share it.
    fn link(&self, file: &File, length: u64, path: &Path) -> std::io::Result<()> {
        use rustix::fs::{AtFlags, CWD, linkat};
        let there = file.metadata()?;
        if there.len() != length || there.nlink() > 0 {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        file.set_permissions(readable())?;
        let named = tempfile::Builder::new().prefix(".new-").make_in(&self.folder, |name| {
            Ok(linkat(CWD, &own, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
        })?;
        named.persist(path)?;
        Ok(())
    }

    /// Writes a file beside its name first, so that nobody sees half of it.
    fn write(
        &self,
        path: &Path,
        from: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        let file = || {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
            from(file.as_file_mut())?;
            fs::set_permissions(file.path(), readable())?;
            file.persist(path)?;
            Ok(())
        };
        file().map_err(StoreError::file(path))
    }
}

pub(super) fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn read(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

impl Store for Layout {
    fn place(&self) -> &Place {
        &self.place
    }

    fn top(&self) -> Result<Document, StoreError> {
        let found = index::choose(&self.index()?, self.tag.as_deref(), &self.place)?;
        self.document(&found.digest)
    }

    fn document(&self, digest: &Digest) -> Result<Document, StoreError> {
        let file = self.open_file(digest)?;
        index::document(file, digest)
    }

    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError> {
        let mut file = self.open_file(digest)?;
        let seek = file.seek(SeekFrom::Start(range.start));
        seek.map_err(|error| StoreError::Read { digest: *digest, error })?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn blob_length(&self, digest: &Digest, _: Option<Instant>) -> Result<Option<u64>, StoreError> {
        Ok(fs::metadata(self.path(digest)).ok().map(|file| file.len()))
    }

    fn blob_file(&self, digest: &Digest) -> Result<Option<FilePart>, StoreError> {
        let part = FilePart::whole(self.open_file(digest)?);
        part.map(Some).map_err(|error| StoreError::Read { digest: *digest, error })
    }

    fn put_blob(&self, blob: &NewBlob) -> Result<(), StoreError> {
        let path = self.path(&blob.digest);
        if fs::metadata(&path).is_ok_and(|there| there.len() == blob.length) {
            return Ok(());
        }
        if self.link(&blob.file, blob.length, &path).is_ok() {
            return Ok(());
        }
        self.write(&path, |to| {
            let copied = std::io::copy(&mut super::spooled(blob), to)?;
            if copied == blob.length {
                Ok(())
            } else {
                Err(std::io::Error::other("it got shorter"))
            }
        })
    }

    fn mount_blob(&self, digest: &Digest, _from: &Place) -> Result<bool, StoreError> {
        Ok(self.path(digest).is_file())
    }

    fn put_document(&self, _media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.write(&self.path(&Digest::of(bytes)), |file| file.write_all(bytes))
    }

    fn put_top(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.put_document(media_type, bytes)?;
        // Poisoned only if a thread died while it wrote to a file of its own.
        let _writing = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let path = self.folder.join("index.json");
        let mut index = if path.exists() { self.index()? } else { Index::new(Vec::new()) };
        add(&mut index, Descriptor::of(media_type, bytes), self.tag.as_deref());
        let json = index::json(&index);
        self.write(&path, |file| file.write_all(&json))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_file_without_a_name_is_not_copied_and_not_shared() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let layout = |name: &str| {
            let place = format!("oci:{}:v1", folder.path().join(name).display());
            anyhow::Ok(Layout::create(&place.parse()?)?)
        };
        let mut file = tempfile::tempfile_in(folder.path())?;
        file.write_all(b"blob")?;
        let (digest, number) = (Digest::of(b"blob"), file.metadata()?.ino());
        let blob = NewBlob { digest, length: 4, file: Arc::new(file) };
        let (first, second) = (layout("first")?, layout("second")?);
        first.put_blob(&blob)?;
        second.put_blob(&blob)?;
        let there = fs::metadata(first.path(&digest))?;
        assert_eq!((there.ino(), there.nlink(), there.mode() & 0o777), (number, 1, 0o644));
        assert_ne!(fs::metadata(second.path(&digest))?.ino(), number);
        assert_eq!(fs::read(second.path(&digest))?, b"blob");
        Ok(())
    }
}
