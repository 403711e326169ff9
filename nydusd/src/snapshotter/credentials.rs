//! What proves to a registry who asks, in a file that only we read: registry clients look there
//! whenever they need it, so that what expires can be renewed under a running mount.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::{NamedTempFile, TempPath};
use zeroize::Zeroizing;

use super::config::Auth;

/// How these files end.
const ENDING: &str = ".credentials";

/// The file, in the form of docker's configuration. It is removed when this goes.
#[derive(Debug)]
pub struct Credentials {
    registry: String,
    file: TempPath,
}

impl Credentials {
    /// Puts what is known for `registry` into a new file of `folder`.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn keep(folder: &Path, registry: &str, auth: Option<&Auth>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = written(folder, registry, auth)?.into_temp_path();
        Ok(Self { registry: registry.to_owned(), file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.to_path_buf()
    }

    /// Replaces what is in it. Who reads it meanwhile finds the one or the other.
    ///
    /// # Errors
    /// If the disk says no: then the old one stays.
    pub fn renew(&self, auth: &Auth) -> io::Result<()> {
        let folder = self.file.parent().unwrap_or_else(|| Path::new("."));
        let new = written(folder, &self.registry, Some(auth))?;
        new.persist(&self.file)?;
        Ok(())
    }

    /// Removes what a killed process left in a folder that is ours alone now.
    pub fn sweep(folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().ends_with(ENDING.as_bytes()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A new file, for its owner only (as all temporary files).
fn written(folder: &Path, registry: &str, auth: Option<&Auth>) -> io::Result<NamedTempFile> {
    let entry = match auth {
        Some(Auth::Basic(pair)) => json!({ "auth": pair.as_str() }),
        Some(Auth::Bearer(token)) => json!({ "registrytoken": token.as_str() }),
        None => json!({}),
    };
    let text = Zeroizing::new(json!({ "auths": { registry: entry } }).to_string());
    let mut file = tempfile::Builder::new().suffix(ENDING).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_for_us_alone_that_changes_at_once_and_goes_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let auth = Auth::basic("dTpw".to_owned()).unwrap();
        let credentials = Credentials::keep(folder.path(), "r.example", Some(&auth)).unwrap();
        let path = credentials.path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#
        );
        credentials.renew(&Auth::Bearer("t".to_owned().into())).unwrap();
        let token = r#"{"auths":{"r.example":{"registrytoken":"t"}}}"#;
        assert_eq!(fs::read_to_string(&path).unwrap(), token);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(credentials);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = Credentials::keep(folder.path(), "r.example", None).unwrap();
        let path = left.path();
        std::mem::forget(left);
        fs::write(folder.path().join("other"), "").unwrap();
        Credentials::sweep(folder.path());
        assert!(!path.exists());
        assert!(folder.path().join("other").exists());
    }
}
