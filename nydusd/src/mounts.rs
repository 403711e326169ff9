//! What is mounted where, as the kernel says, and how it is taken away.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

/// What our FUSE mounts are called: the kernel lists them as `fuse.` and this.
pub const SUBTYPE: &str = "nydusd";

/// How the bootstraps end that EROFS mounts are of.
pub const BOOTSTRAP: &str = ".nydusd-bootstrap";

/// One line of the list of mounts (proc_pid_mountinfo(5)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// The file system's number, as `stat` says it of what is in it.
    pub device: u64,
    /// The file system's type, with its subtype.
    pub kind: String,
    /// What it is of: the image's name.
    pub source: String,
}

impl Mount {
    /// Whether it is one of ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let erofs = self.kind == "erofs" && self.source.ends_with(BOOTSTRAP);
        erofs || self.kind == format!("fuse.{SUBTYPE}")
    }
}

/// Every mount that this process sees, later ones after those that they cover.
///
/// # Errors
/// If there is no `/proc`.
pub fn all() -> io::Result<Vec<Mount>> {
    Ok(fs::read("/proc/self/mountinfo")?.split(|byte| *byte == b'\n').filter_map(line).collect())
}

/// The topmost mount at `at`, a path without links in it.
///
/// # Errors
/// If there is no `/proc`.
pub fn at(at: &Path) -> io::Result<Option<Mount>> {
    Ok(all()?.into_iter().rfind(|mount| mount.at == at))
}

/// Whether one of ours stands at `at`, a path without links in it. What cannot be told counts as yes:
/// what is forgotten is lost.
#[must_use]
pub fn is_ours_at(at: &Path) -> bool {
    self::at(at).map_or(true, |there| there.is_some_and(|mount| mount.is_ours()))
}

/// The list of mounts, read once, and only if it is asked.
#[derive(Debug, Default)]
pub struct Listing(OnceCell<Option<Vec<Mount>>>);

impl Listing {
    /// Whether the file system `device` is mounted at `at`. What cannot be told counts as mounted.
    #[must_use]
    pub fn has(&self, at: &Path, device: u64) -> bool {
        let all = self.0.get_or_init(|| {
            let mut all = all().ok()?;
            all.sort_unstable_by(|a, b| a.at.cmp(&b.at));
            Some(all)
        });
        let Some(all) = all else { return true };
        let from = all.partition_point(|mount| mount.at.as_path() < at);
        let there = all.iter().skip(from).take_while(|mount| mount.at == at);
        there.into_iter().any(|mount| mount.device == device)
    }
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = number.split_once(':')?;
    let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    let at = unescape(fields.nth(1)?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, source) = (unescape(fields.next()?), unescape(fields.next()?));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let at = PathBuf::from(std::ffi::OsString::from_vec(at));
    Some(Mount { at, device, kind: text(kind), source: text(source) })
}

/// Blanks and backslashes stand as three octal digits behind a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    bytes
}

/// A folder's path without links in it, even if a mount there is dead.
///
/// # Errors
/// If it is not there.
pub fn resolve(folder: &Path) -> io::Result<PathBuf> {
    let name = folder.file_name().map(OsStr::as_bytes);
    match (fs::canonicalize(folder), name, folder.parent()) {
        (Err(error), Some(name), Some(parent)) if is_dead(&error) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(fs::canonicalize(parent)?.join(OsStr::from_bytes(name)))
        }
        (resolved, ..) => resolved,
    }
}

/// Whether whoever served the mount is no more.
#[must_use]
pub fn is_dead(error: &io::Error) -> bool {
    let dead = [Errno::NOTCONN, Errno::CONNABORTED];
    dead.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Takes what a killed process left at `at`, a path from [`resolve`]. What is alive stays. The caller
/// has the chunk cache `cache`, so nobody else serves what stands over it.
///
/// # Errors
/// If it cannot be taken away.
pub fn clear(at: &Path, cache: &Path) -> io::Result<()> {
    while let Some(mount) = self::at(at)?.filter(Mount::is_ours) {
        let over = Path::new(&mount.source).starts_with(cache);
        // Attributes are remembered for long; this is asked of whoever serves a FUSE mount.
        let asked = rustix::fs::statvfs(at).map_err(io::Error::from);
        if !over && !asked.is_err_and(|error| is_dead(&error)) {
            break;
        }
        tracing::info!(at = %at.display(), "a mount whose process is gone is taken away");
        unmount(at, UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// Unmounts what is at `at`; with `busy`, even while it is used: it then goes when the last user
/// does.
///
/// # Errors
/// If it is none of ours, or in use.
pub fn take_away(at: &Path, busy: bool) -> io::Result<()> {
    let at = resolve(at)?;
    match self::at(&at)? {
        Some(mount) if mount.is_ours() => {}
        Some(mount) => return Err(io::Error::other(format!("it is a mount of {}", mount.kind))),
        None => return Err(io::Error::other("nothing is mounted there")),
    }
    let flags = if busy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    Ok(unmount(&at, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let read = line(
            b"36 35 98:0 /m /mnt/a\\040b\\134 rw,noatime master:1 - fuse.nydusd x\\040y:v1 rw,a=b",
        );
        let read = read.unwrap();
        assert_eq!((read.at.as_path(), &*read.source), (Path::new("/mnt/a b\\"), "x y:v1"));
        assert_eq!(read.device, rustix::fs::makedev(98, 0));
        assert!(read.is_ours());
        assert_eq!(line(b"36 35"), None);
        assert!(all().unwrap().iter().any(|mount| mount.at == Path::new("/")));
        let proc = rustix::fs::stat("/proc").unwrap().st_dev;
        assert_eq!(at(Path::new("/proc")).unwrap().unwrap().device, proc);
        assert!(Listing::default().has(Path::new("/proc"), proc));
        assert!(!Listing::default().has(Path::new("/proc"), proc + 1));
    }
}
