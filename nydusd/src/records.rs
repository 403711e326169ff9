//! What is mounted, on the disk, so that a process that was killed can be followed by one that mounts
//! the same again.
//!
//! ```text
//!   CACHE/mounts/HASH.json    a mount; HASH is BLAKE3 over where it is
//! ```
//!
//! A record stands before its mount does, and goes when somebody has unmounted it. While a mount is
//! brought back, the record says so: whoever is killed in the midst of that is followed by one that
//! does it again. Secrets are not in it: credentials are named by the file that they are in.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use content::Digest;
use serde::{Deserialize, Serialize};

use crate::node::Order;

/// The form of records.
const VERSION: u32 = 1;

/// How records' names end.
const END: &str = "json";

/// How the names of records begin that are being written.
const UNNAMED: &str = ".new-";

/// One mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The record's form.
    pub version: u32,
    /// Where, without links in the path.
    pub at: PathBuf,
    /// What was ordered.
    pub order: Order,
    /// The manifest that the image's name led to then: a tag may have moved, a mount does not.
    pub manifest: Option<Digest>,
    /// In which run of the machine that was.
    pub boot: String,
    /// Whether a process served it when this was written. If not, it was taken away to be brought
    /// back.
    pub mounted: bool,
    /// Whether a process has begun to mount it again, in this run of the machine: what was dead there
    /// may be gone, and what follows not there yet.
    #[serde(default)]
    pub returning: bool,
    /// Whether it is to outlive its process and the machine's run: `nydusd serve` has it.
    pub lasting: bool,
}

impl Record {
    /// Of what stands, or is about to.
    #[must_use]
    pub fn new(at: &Path, order: &Order, manifest: Option<Digest>, boot: &str) -> Self {
        Self {
            version: VERSION,
            at: at.to_owned(),
            order: order.clone(),
            manifest,
            boot: boot.to_owned(),
            mounted: true,
            returning: false,
            lasting: false,
        }
    }
}

/// What is done with a record that another process left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is mounted again.
    Restore,
    /// It is forgotten: somebody has unmounted it, or it ended with the machine's last run.
    Forget,
    /// It waits for `nydusd serve`.
    Leave,
}

impl Record {
    /// What is done with it in this run of the machine; `listed` if the kernel lists a mount of ours
    /// there, `serving` if this process is `nydusd serve`.
    #[must_use]
    pub fn fate(&self, boot: &str, listed: bool, serving: bool) -> Fate {
        match (self.mounted && self.boot == boot, self.lasting) {
            // Its process was killed. Its mount stays until somebody takes it away.
            (true, _) if listed || self.returning => Fate::Restore,
            (true, _) => Fate::Forget,
            (false, true) if serving => Fate::Restore,
            (false, true) => Fate::Leave,
            // `nydusd mount` is as `mount`: nobody has written down that it should be so again.
            (false, false) => Fate::Forget,
        }
    }
}

/// The folder.
#[derive(Debug)]
pub struct Records {
    folder: PathBuf,
    boot: String,
}

impl Records {
    /// Those of the chunk cache in `cache`; its folder is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(cache: &Path) -> io::Result<Self> {
        let folder = cache.join("mounts");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self { folder, boot: boot.trim().to_owned() })
    }

    /// Removes what a killed process had not written to its end. Who calls this has the cache.
    pub fn tidy(&self) {
        for path in fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path()) {
            let name = path.file_name().unwrap_or_default().as_bytes();
            if name.starts_with(UNNAMED.as_bytes()) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// What names this run of the machine.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Writes a record, all or nothing.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn put(&self, record: &Record) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(UNNAMED).tempfile_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        // After a power cut, a file with a name and no bytes would be a mount that is lost.
        file.as_file().sync_data()?;
        file.persist(self.path(&record.at))?;
        Ok(())
    }

    /// Removes the record of what is at `at`; whether there was one.
    pub fn remove(&self, at: &Path) -> bool {
        match fs::remove_file(self.path(at)) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(%error, at = %at.display(), "the record of a mount cannot be removed");
                false
            }
        }
    }

    /// All records, sorted by place. What is none is told and set aside, and harms no other.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for path in fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.extension().is_none_or(|end| end != END) {
                continue;
            }
            match read(&path) {
                Ok(record) if self.path(&record.at) == path => records.push(record),
                wrong => {
                    let error = wrong.err().map_or_else(String::new, |error| error.to_string());
                    let aside = path.with_extension("damaged");
                    tracing::warn!(error, path = %aside.display(), "no record of a mount: set aside");
                    let _ = fs::rename(&path, aside);
                }
            }
        }
        records.sort_unstable_by(|a, b| a.at.cmp(&b.at));
        records
    }

    fn path(&self, at: &Path) -> PathBuf {
        let hash = blake3::hash(at.as_os_str().as_bytes());
        self.folder.join(hash.to_string()).with_extension(END)
    }
}

fn read(path: &Path) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path)?)?;
    if record.version == VERSION { Ok(record) } else { Err(io::ErrorKind::Unsupported.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Driver;
    use crate::prefetch::PrefetchOrder;
    use image::store::Access;

    fn record(at: &str) -> Record {
        let order = Order {
            image: "oci:/x:v1".to_owned(),
            at: at.into(),
            driver: Driver::Auto,
            blob_dir: None,
            platform: None,
            access: Access::default(),
            prefetch: PrefetchOrder::default(),
        };
        Record::new(Path::new(at), &order, Some(Digest::of(b"m")), "this run")
    }

    #[test]
    fn records_come_back_and_what_is_none_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        for at in ["/b", "/a", "/c"] {
            records.put(&record(at)).unwrap();
        }
        assert!(records.remove(Path::new("/c")) && !records.remove(Path::new("/c")));
        fs::write(folder.path().join("mounts/x.json"), "{").unwrap();
        let half = folder.path().join("mounts/.new-half");
        fs::write(&half, "{").unwrap();
        records.tidy();
        assert!(!half.exists());
        // A record under another's name is nobody's.
        let a = records.path(Path::new("/a"));
        fs::copy(&a, a.with_file_name("y.json")).unwrap();
        for _ in 0..2 {
            let all: Vec<_> = records.all().into_iter().map(|record| record.at).collect();
            assert_eq!(all, [Path::new("/a"), Path::new("/b")]);
        }
        assert_eq!(records.all()[0].manifest, Some(Digest::of(b"m")));
        assert!(folder.path().join("mounts/x.damaged").exists());
    }

    #[test]
    fn a_mount_ends_by_umount_and_not_with_its_process() {
        let killed = record("/a");
        for serving in [false, true] {
            assert_eq!(killed.fate("this run", true, serving), Fate::Restore);
            assert_eq!(killed.fate("this run", false, serving), Fate::Forget, "unmounted since");
            assert_eq!(killed.fate("next run", false, serving), Fate::Forget, "as mount(8)");
        }
        let lasting = Record { lasting: true, ..record("/a") };
        assert_eq!(lasting.fate("this run", true, false), Fate::Restore);
        assert_eq!(lasting.fate("this run", false, true), Fate::Forget, "unmounted since");
        assert_eq!(lasting.fate("next run", false, true), Fate::Restore);
        assert_eq!(lasting.fate("next run", false, false), Fate::Leave);
        let ended = Record { mounted: false, ..lasting };
        assert_eq!(ended.fate("this run", false, true), Fate::Restore);
        assert_eq!(ended.fate("this run", false, false), Fate::Leave);
        let killed_again = Record { returning: true, ..killed };
        assert_eq!(killed_again.fate("this run", false, false), Fate::Restore);
        assert_eq!(killed_again.fate("next run", false, true), Fate::Forget, "as mount(8)");
    }
}
