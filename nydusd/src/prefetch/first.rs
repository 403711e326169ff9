//! What whoever mounts an image wants first: paths in it, of which each becomes an inode. A list may
//! say anything. What leads nowhere is left out and told at `debug`; nothing leads out of the image.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rafs::bootstrap::{FileType, Nid};
use rafs::{Bootstrap, RafsError};

/// So many paths of a list are looked for; the rest is left out.
pub const MOST: usize = 1 << 14;

/// So many bytes of a file with a list are read: [`MOST`] paths of 256 bytes.
pub const LONGEST_FILE: u64 = 4 << 20;

/// So long a path may be, in bytes (Linux' `PATH_MAX`, without its NUL).
const LONGEST: usize = 4095;

/// So many symbolic links are followed on the way (as Linux does, path_resolution(7)).
const LINKS: usize = 40;

/// Why a path leads to nothing that could be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// It is empty, too long, or has a NUL in it.
    #[error("it is no path")]
    NoPath,
    /// There is no such name, or something on the way is no directory.
    #[error("there is no such file in the image")]
    Missing,
    /// It goes through too many symbolic links.
    #[error("it goes through more than {LINKS} symbolic links")]
    Links,
    /// The metadata on the way is wrong.
    #[error(transparent)]
    Image(#[from] RafsError),
}

/// What `paths` name in the image of this bootstrap, in their order, each once.
pub fn inodes<B: AsRef<[u8]>>(bootstrap: &Bootstrap<B>, paths: &[Vec<u8>]) -> Vec<Nid> {
    let (mut found, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for path in paths.iter().take(MOST) {
        match find(bootstrap, path) {
            Ok(nid) if seen.insert(nid) => found.push(nid),
            Ok(_) => {}
            Err(error) => {
                let path: String = String::from_utf8_lossy(path).chars().take(200).collect();
                tracing::debug!(?path, %error, "what is to be prefetched first is left out");
            }
        }
    }
    if let Some(more) = paths.len().checked_sub(MOST).filter(|more| *more > 0) {
        tracing::debug!(more, "a list of what is to be prefetched first is cut off");
    }
    found
}

/// What `path` names, from the root on, whether it begins with a slash or not. Symbolic links are
/// followed within the image; `..` of the root is the root.
///
/// # Errors
/// If it names nothing.
pub fn find<B: AsRef<[u8]>>(bootstrap: &Bootstrap<B>, path: &[u8]) -> Result<Nid, Lost> {
    if path.is_empty() || path.len() > LONGEST || path.contains(&0) {
        return Err(Lost::NoPath);
    }
    // What is left to go, the next name last. A target has at most 4 KiB, and there are few.
    let mut left: Vec<&[u8]> = path.rsplit(|byte| *byte == b'/').collect();
    let (mut way, mut links) = (Vec::new(), 0_usize);
    while let Some(name) = left.pop() {
        match name {
            b"" | b"." => continue,
            b".." => {
                way.pop();
                continue;
            }
            _ => {}
        }
        let here = bootstrap.inode(way.last().copied().unwrap_or_else(|| bootstrap.root()))?;
        if here.file_type != FileType::Directory {
            return Err(Lost::Missing);
        }
        let entry = bootstrap.lookup(&here, name)?.ok_or(Lost::Missing)?;
        let inode = bootstrap.inode(entry.nid)?;
        if inode.file_type != FileType::Symlink {
            way.push(entry.nid);
            continue;
        }
        links = links.saturating_add(1);
        if links > LINKS {
            return Err(Lost::Links);
        }
        let target = bootstrap.target(&inode)?;
        if target.first() == Some(&b'/') {
            way.clear();
        }
        left.extend(target.rsplit(|byte| *byte == b'/'));
    }
    Ok(way.pop().unwrap_or_else(|| bootstrap.root()))
}

/// The paths in a file, one a line; of a file that is longer than [`LONGEST_FILE`], those before.
///
/// # Errors
/// If it is no file that can be read.
pub fn listed(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    // Opening a pipe would wait for who writes into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut text)?;
    Ok(lines(&text))
}

/// The lines of a text that are not empty.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).take(MOST).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_path_a_line_and_an_end() {
        assert_eq!(lines(b"/a b\r\n\n\n/\xff\n../x"), [&b"/a b"[..], b"/\xff", b"../x"]);
        assert!(lines(b"").is_empty() && lines(b"\n\r\n").is_empty());
        assert_eq!(lines(&b"x\n".repeat(2 * MOST)).len(), MOST);
        let folder = tempfile::tempdir().unwrap();
        assert!(listed(folder.path()).is_err(), "a folder is no list");
        assert!(listed(&folder.path().join("none")).is_err());
        let long = folder.path().join("long");
        let size = usize::try_from(LONGEST_FILE).unwrap() + 10;
        std::fs::write(&long, vec![b'x'; size]).unwrap();
        let all = listed(&long).unwrap();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [size - 10]);
    }
}
