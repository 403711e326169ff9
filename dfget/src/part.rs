//! The file while it arrives: beside its final name, hidden, with a note of what it is part of.
//!
//! ```text
//! big.iso                 the file, only once it is whole and checked
//! .big.iso.dfget          what has come of it
//! .big.iso.dfget.json     whose part it is: source, and the state (entity tag) of its content
//! ```
//! A killed download leaves the last two, and the next one goes on from there if they are of the
//! same source in the same state.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use content::{BlobHasher, Digest};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A file that is arriving.
#[derive(Debug)]
pub struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    note: Note,
    length: u64,
    hasher: BlobHasher,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    source: String,
    tag: Option<String>,
}

impl Part {
    /// Begins, or goes on with what an earlier run left of the same source.
    ///
    /// # Errors
    /// If the folder cannot be written, or another dfget writes this file now.
    pub fn open(target: &Path, source: &str) -> Result<Self, Error> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::Usage(format!("{} names no file", target.display())))?;
        let path = target.with_file_name(format!(".{}.dfget", name.to_string_lossy()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::file(&path))?;
        file.try_lock()
            .map_err(|_| Error::Usage(format!("another dfget is writing {}", target.display())))?;
        let mut part = Self {
            target: target.to_owned(),
            note: Note::default(),
            length: 0,
            hasher: BlobHasher::new(),
            path,
            file,
        };
        let kept: Option<Note> = std::fs::read(part.note_path())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match kept {
            Some(note) if note.source == source && note.tag.is_some() => {
                part.note = note;
                part.rehash()?;
            }
            _ => part.restart(source, None)?,
        }
        Ok(part)
    }

    fn note_path(&self) -> PathBuf {
        self.path.with_extension("dfget.json")
    }

    /// Hashes what an earlier run left: the digest is of every byte of the file as it is now.
    fn rehash(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; 256 * 1024];
        self.file.rewind().map_err(Error::file(&self.path))?;
        loop {
            let read = self.file.read(&mut buffer).map_err(Error::file(&self.path))?;
            if read == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..read]);
            self.length += read as u64;
        }
    }

    /// How many bytes have come.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The state of the content that the part is of.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.note.tag.as_deref()
    }

    /// Throws away what has come: the content is another now.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn restart(&mut self, source: &str, tag: Option<&str>) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::file(&self.path))?;
        self.file.rewind().map_err(Error::file(&self.path))?;
        self.length = 0;
        self.hasher = BlobHasher::new();
        self.note = Note { source: source.to_owned(), tag: tag.map(ToOwned::to_owned) };
        let note = serde_json::to_vec(&self.note).unwrap_or_default();
        let path = self.note_path();
        std::fs::write(&path, note).map_err(Error::file(path))
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(Error::file(&self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name, if it is what `expected` says. What is wrong is not kept.
    ///
    /// # Errors
    /// If it is not, or the file cannot be written.
    pub fn finish(self, expected: &[Digest]) -> Result<Digest, Error> {
        let actual = self.hasher.clone().finish();
        let note = self.note_path();
        if let Some(expected) = expected.iter().find(|expected| **expected != actual) {
            let expected = *expected;
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_file(note);
            return Err(Error::Mismatch { expected, actual });
        }
        self.file.sync_all().map_err(Error::file(&self.path))?;
        std::fs::rename(&self.path, &self.target).map_err(Error::file(&self.target))?;
        let _ = std::fs::remove_file(note);
        Ok(actual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_on_where_it_stopped_and_appears_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("file.bin");
        let mut part = Part::open(&target, "s").expect("writable");
        part.restart("s", Some("tag")).expect("writable");
        part.push(b"hello ").expect("writable");
        drop(part); // as a kill does
        assert!(!target.exists());

        let mut part = Part::open(&target, "s").expect("writable");
        assert_eq!((part.length(), part.tag()), (6, Some("tag")));
        part.push(b"world").expect("writable");
        part.finish(&[Digest::of(b"hello world")]).expect("right");
        assert_eq!(std::fs::read(&target).expect("there"), b"hello world");
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_part_of_something_else_is_not_gone_on_with() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("file.bin");
        let mut part = Part::open(&target, "s").expect("writable");
        part.restart("s", Some("tag")).expect("writable");
        part.push(b"hello").expect("writable");
        assert!(matches!(Part::open(&target, "s"), Err(Error::Usage(_))), "two at once");
        drop(part);
        assert_eq!(Part::open(&target, "other").expect("writable").length(), 0);
    }

    #[test]
    fn wrong_bytes_get_no_name_and_are_not_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("file.bin");
        let mut part = Part::open(&target, "s").expect("writable");
        part.push(b"hello").expect("writable");
        let wrong = part.finish(&[Digest::of(b"other")]);
        assert!(matches!(wrong, Err(Error::Mismatch { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
    }
}
