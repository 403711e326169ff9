//! Which blobs registries have said they have, for the time when they are away.
//!
//! A file each, without a word in it: its name is a hash of repository and digest, and its time says
//! when it was so last. It counts for a day. It says nothing of credentials: those are asked for
//! whenever the registry can be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use content::Digest;
use image::registry::Repository;
use lazy::Want;
use lazy::source::may_pass;

use crate::lock::lock;

/// So long what a registry has said counts while it is away.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often it is noted that what registries have granted is in use.
const RENEW: Duration = Duration::from_secs(3600);

/// A registry that has granted a blob within a day and is silent for so long is away.
const AWAY: Duration = Duration::from_secs(2);

/// One that is away need not be asked again for so long where it has granted what is wanted: a node that
/// starts again has many mounts, and each many blobs.
const STILL: Duration = Duration::from_secs(10);

/// The folder of them.
#[derive(Debug)]
pub struct Grants {
    folder: PathBuf,
    renewed: Mutex<Instant>,
    /// Since when registries are away.
    away: Mutex<BTreeMap<String, Instant>>,
}

impl Grants {
    /// Those in a folder, which is made if it is not there; old ones are removed.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if !is_fresh(&path) {
                fs::remove_file(&path)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            renewed: Mutex::new(Instant::now()),
            away: Mutex::default(),
        })
    }

    /// Whether it is time to note again what is in use. Who is told so does it.
    #[must_use]
    pub fn are_due(&self) -> bool {
        let mut renewed = lock(&self.renewed);
        let due = renewed.elapsed() > RENEW;
        if due {
            *renewed = Instant::now();
        }
        due
    }

    /// The registry has just said that `repository` has the blob.
    pub fn note(&self, repository: &Repository, blob: &Digest) {
        let path = self.path(repository, blob);
        let noted = File::create(path).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = noted {
            tracing::debug!(%error, "what a registry has said is not remembered");
        }
    }

    /// Whether it has said so within a day.
    #[must_use]
    pub fn is_fresh(&self, repository: &Repository, blob: &Digest) -> bool {
        is_fresh(&self.path(repository, blob))
    }

    /// Has `ask` ask the registry whether `repository` has the blob, with the asker's credentials.
    /// While it is away, it counts that it has said so within a day.
    ///
    /// # Errors
    /// If it says no, or it is away and has not said so.
    pub fn confirm(
        &self,
        repository: &Repository,
        blob: &Digest,
        want: &Want,
        ask: impl FnOnce(&Want) -> io::Result<()>,
    ) -> io::Result<()> {
        let fresh = self.is_fresh(repository, blob);
        let registry = repository.registry().to_string();
        let away = |since: &Instant| since.elapsed() < STILL;
        if fresh && lock(&self.away).get(&registry).is_some_and(away) {
            return Ok(());
        }
        let limit = if fresh { AWAY.min(want.left()) } else { want.left() };
        match ask(&Want::within(limit, want.urgency)) {
            Ok(()) => self.note(repository, blob),
            Err(error) if may_pass(&error) && fresh => {
                tracing::info!(
                    %error,
                    %blob,
                    "the registry is away; it has granted this blob a short time ago"
                );
                lock(&self.away).insert(registry, Instant::now());
            }
            Err(error) => {
                if !may_pass(&error) {
                    self.forget(repository, blob);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// It has said no.
    fn forget(&self, repository: &Repository, blob: &Digest) {
        let _ = fs::remove_file(self.path(repository, blob));
    }

    fn path(&self, repository: &Repository, blob: &Digest) -> PathBuf {
        // Neither a registry's name nor a repository's has a NUL in it.
        let named = format!("{}\0{}\0{blob}", repository.registry(), repository.name());
        self.folder.join(Digest::of(named.as_bytes()).to_hex())
    }
}

fn is_fresh(path: &Path) -> bool {
    let noted = fs::metadata(path).and_then(|file| file.modified());
    // A clock that was put back makes nothing older.
    noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age < DAY))
}

#[cfg(test)]
mod tests {
    use lazy::Urgency;

    use super::*;

    #[test]
    fn a_registry_that_is_away_is_asked_once_for_what_it_has_granted() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let of = |registry: &str| Repository::new(registry, "team/app").unwrap();
        let (one, two) = (of("one.example"), of("two.example"));
        let (blob, other) = (Digest::of(b"a"), Digest::of(b"b"));
        grants.note(&one, &blob);
        grants.note(&two, &blob);
        let asked = std::cell::Cell::new(0);
        let silent = |repository: &Repository, blob: &Digest| {
            let want = Want::within(Duration::from_secs(1), Urgency::Blocked);
            grants.confirm(repository, blob, &want, |_| {
                asked.set(asked.get() + 1);
                Err(io::ErrorKind::TimedOut.into())
            })
        };
        assert!((0..5).all(|_| silent(&one, &blob).is_ok()));
        assert_eq!(asked.get(), 1);
        assert!(silent(&two, &blob).is_ok() && asked.get() == 2, "another registry");
        assert!(silent(&one, &other).is_err() && asked.get() == 3, "it was never granted");
    }

    #[test]
    fn a_grant_is_of_one_repository_and_one_blob_and_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let of = |name: &str| Repository::new("r.example", name).unwrap();
        let (blob, other) = (Digest::of(b"a"), Digest::of(b"b"));
        grants.note(&of("team/app"), &blob);
        assert!(grants.is_fresh(&of("team/app"), &blob));
        assert!(!grants.is_fresh(&of("team/other"), &blob));
        assert!(!grants.is_fresh(&of("team/app"), &other));
        let old = SystemTime::now() - DAY;
        let file = File::options().write(true).open(grants.path(&of("team/app"), &blob)).unwrap();
        file.set_modified(old).unwrap();
        assert!(!grants.is_fresh(&of("team/app"), &blob));
        Grants::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        grants.note(&of("team/app"), &blob);
        grants.forget(&of("team/app"), &blob);
        assert!(!grants.is_fresh(&of("team/app"), &blob));
    }
}
