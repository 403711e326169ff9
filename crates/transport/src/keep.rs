//! Files with secrets: written whole or not at all, and for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::IdentityError;

/// Nothing that we keep is longer.
const LONGEST: u64 = 1024 * 1024;

fn failed(path: &Path) -> impl FnOnce(io::Error) -> IdentityError + '_ {
    |source| IdentityError::File { path: path.to_owned(), source }
}

/// What the file holds; `None` if there is none.
///
/// A file that everybody can read is refused. Its group may read it: mounted secrets of Kubernetes
/// are given to a process by its group.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let mode = file.metadata().map_err(failed(path))?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode });
    }
    if mode & 0o070 != 0 {
        tracing::warn!(path = %path.display(), "the file holds secrets and its group can read it");
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST).read_to_string(&mut text).map_err(failed(path))?;
    Ok(Some(text))
}

/// Writes the file in place of what was there.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), IdentityError> {
    let scratch = scratch(path, text)?;
    let done = fs::rename(&scratch, path).and_then(|()| sync_folder(path));
    clean(&scratch, done, path)
}

/// Writes the file unless there is one; whether it did. Of several that try, one does.
pub(crate) fn create(path: &Path, text: &str) -> Result<bool, IdentityError> {
    let scratch = scratch(path, text)?;
    // A link, unlike a rename, never replaces what somebody else has just put there.
    let linked = match fs::hard_link(&scratch, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return clean(&scratch, Ok(()), path).map(|()| false);
        }
        linked => linked.and_then(|()| sync_folder(path)),
    };
    clean(&scratch, linked, path).map(|()| true)
}

/// The text in a file beside `path`, safe on disk.
fn scratch(path: &Path, text: &str) -> Result<PathBuf, IdentityError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{}", std::process::id(), crate::certificate::random_hex::<8>()?));
    let scratch = path.with_file_name(name);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch).and_then(
            |mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            },
        );
    match written {
        Ok(()) => Ok(scratch),
        Err(error) => clean(&scratch, Err(error), path).map(|()| scratch),
    }
}

fn clean(scratch: &Path, done: io::Result<()>, path: &Path) -> Result<(), IdentityError> {
    // After a rename it is gone already.
    let _ = fs::remove_file(scratch);
    done.map_err(failed(path))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_is_its_owners_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        assert!(read(&path).expect("readable").is_none());
        assert!(create(&path, "one").expect("written"));
        assert!(!create(&path, "two").expect("not written"), "there is one already");
        assert_eq!(read(&path).expect("readable").expect("there").as_str(), "one");
        replace(&path, "three").expect("written");
        assert_eq!(read(&path).expect("readable").expect("there").as_str(), "three");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_everybody_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        replace(&path, "one").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("chmod");
        assert!(matches!(read(&path), Err(IdentityError::Exposed { mode: 0o604, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).expect("chmod");
        assert!(read(&path).is_ok());
    }
}
