//! What proves to a registry who asks: in memory, and in no folder. Registry clients look there by a
//! path whenever they need it, so that what expires can be renewed under a running mount.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use image::bytes::{Blobs, ReadAt};
use image::registry::Credential;
use rafs::BlobId;
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::json;
use zeroize::Zeroizing;

use super::config::Auth;
use crate::lock::lock;

/// A file in memory (`memfd_create(2)`), in the form of docker's configuration. It goes with this, and
/// with the process.
#[derive(Debug)]
pub struct Credentials {
    registry: String,
    file: Mutex<OwnedFd>,
}

impl Credentials {
    /// Keeps what is known for `registry`.
    ///
    /// # Errors
    /// If there is no memory, or there are too many open files.
    pub fn keep(registry: &str, auth: Option<&Auth>) -> io::Result<Self> {
        let file = written(registry, auth)?;
        Ok(Self { registry: registry.to_owned(), file: Mutex::new(file) })
    }

    /// Where this process reads it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", lock(&self.file).as_raw_fd()).into()
    }

    /// `blobs`, whose registry asks for these: they stay as long as anybody may read the path. Its
    /// number would be another file's after that.
    #[must_use]
    pub fn held_by(self: &Arc<Self>, blobs: Box<dyn Blobs>) -> Box<dyn Blobs> {
        Box::new(Holding { blobs, _credentials: Arc::clone(self) })
    }

    /// Replaces what is in it. Who reads it meanwhile finds the one or the other.
    ///
    /// # Errors
    /// As [`Credentials::keep`]; the old one stays then.
    pub fn renew(&self, auth: &Auth) -> io::Result<()> {
        let new = written(&self.registry, Some(auth))?;
        // The number stays, and with it the path.
        rustix::io::dup3(&new, &mut lock(&self.file), rustix::io::DupFlags::CLOEXEC)?;
        Ok(())
    }
}

/// Blobs, and what their registry asks for.
#[derive(Debug)]
struct Holding {
    blobs: Box<dyn Blobs>,
    _credentials: Arc<Credentials>,
}

impl Blobs for Holding {
    fn open(&self, blob: BlobId, until: Option<Instant>) -> io::Result<Arc<dyn ReadAt>> {
        self.blobs.open(blob, until)
    }

    fn confirm(&self, blob: BlobId, until: Instant) -> io::Result<()> {
        self.blobs.confirm(blob, until)
    }

    fn authorization(&self, until: Instant) -> io::Result<Option<Credential>> {
        self.blobs.authorization(until)
    }
}

/// A new file, which no other program can find, and none that we start inherits.
fn written(registry: &str, auth: Option<&Auth>) -> io::Result<OwnedFd> {
    let entry = match auth {
        Some(Auth::Basic(pair)) => json!({ "auth": pair.as_str() }),
        Some(Auth::Bearer(token)) => json!({ "registrytoken": token.as_str() }),
        None => json!({}),
    };
    let text = Zeroizing::new(json!({ "auths": { registry: entry } }).to_string());
    let mut file = File::from(memfd_create("credentials", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::bytes::NoBlobs;

    use super::*;

    #[test]
    fn one_path_says_what_is_right_now_and_is_gone_in_the_end() {
        let auth = Auth::basic("dTpw".to_owned()).unwrap();
        let credentials = Arc::new(Credentials::keep("r.example", Some(&auth)).unwrap());
        let path = credentials.path();
        let read = || fs::read_to_string(&path).unwrap();
        assert_eq!(read(), r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#);
        // Nowhere on a disk.
        let target = fs::read_link(&path).unwrap();
        assert!(target.to_string_lossy().starts_with("/memfd:"), "{}", target.display());
        credentials.renew(&Auth::Bearer("t".to_owned().into())).unwrap();
        assert_eq!(read(), r#"{"auths":{"r.example":{"registrytoken":"t"}}}"#);
        assert_eq!(credentials.path(), path);
        // Whoever asks the registry still reads it when the mount has gone.
        let blobs = credentials.held_by(Box::new(NoBlobs));
        drop(credentials);
        assert_eq!(fs::read_link(&path).unwrap(), target);
        drop(blobs);
        let there = fs::read_link(&path).is_ok_and(|there| there == target);
        assert!(!there, "it stays open");
    }
}
