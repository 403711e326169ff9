//! A tree as a tar, the same bytes each time.
//!
//! Members come in the order of a sorted walk. What a POSIX header has no room for stands in a PAX
//! header before it, and nothing else does; owners have no names; a hard-linked file comes under
//! its first name.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use tree::{Inode, InodeId, Kind, Tree};

use crate::draft::Draft;
use crate::error::printable;
use crate::header::BLOCK;
use crate::member::{Member, MemberKind};

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nobody took the bytes, or a file's content could not be had.
    #[error("the tar cannot be written: {0}")]
    Io(#[from] io::Error),
    /// A file's content had not the bytes that it should have.
    #[error("{path} should have {size} bytes and has {copied}")]
    Size {
        /// The file, escaped.
        path: String,
        /// How many it should have.
        size: u64,
        /// How many came.
        copied: u64,
    },
}

/// Writes `tree`. `size` says how many bytes a regular file has, `copy` writes them.
///
/// Sockets are left out: no tar has them. How many is returned.
///
/// # Errors
/// If `out` or `copy` fails, or `copy` writes more or less than `size` said.
pub fn write_tar<C, W: Write>(
    tree: &Tree<C>,
    out: W,
    size: impl Fn(&C) -> u64,
    mut copy: impl FnMut(InodeId, &C, &mut dyn Write) -> io::Result<()>,
) -> Result<u64, WriteError> {
    let mut out = TarWriter::new(out);
    let mut first_names = BTreeMap::<InodeId, Vec<u8>>::new();
    let mut sockets = 0_u64;
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let path = member_path(walk.path_bytes(), visit.inode);
        if let Some(first) = first_names.get(&visit.id) {
            out.put(&Draft::new(&path, &visit.inode.meta, b'1').link(first), |_| Ok(()))?;
            continue;
        }
        let Some(draft) = draft(&path, visit.inode) else {
            sockets = sockets.saturating_add(1);
            continue;
        };
        match visit.inode.content() {
            Some(content) => {
                let draft = Draft { size: size(content), ..draft };
                out.put(&draft, |out| copy(visit.id, content, out))?;
            }
            None => out.put(&draft, |_| Ok(()))?,
        }
        if visit.inode.links() > 1 {
            first_names.insert(visit.id, path);
        }
    }
    out.finish()?;
    Ok(sockets)
}

/// Writes members one by one, in any order: whiteouts too, which are files of their names.
pub struct TarWriter<W> {
    out: Counted<W>,
}

impl<W> fmt::Debug for TarWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarWriter").field("written", &self.out.count).finish_non_exhaustive()
    }
}

impl<W: Write> TarWriter<W> {
    /// A tar without members.
    pub const fn new(out: W) -> Self {
        Self { out: Counted { inner: out, count: 0 } }
    }

    /// Writes a member; `copy` writes a regular file's bytes, holes as zeros.
    ///
    /// # Errors
    /// If nobody takes the bytes, or `copy` fails or does not write [`Member::size`] bytes.
    pub fn append(
        &mut self,
        member: &Member,
        copy: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let draft = |kind| Draft::new(&member.path, &member.meta, kind);
        let draft = match member.kind {
            MemberKind::File => Draft { size: member.size, ..draft(b'0') },
            MemberKind::HardLink => draft(b'1').link(&member.link),
            MemberKind::Symlink => draft(b'2').link(&member.link),
            MemberKind::CharDevice(device) => Draft { device, ..draft(b'3') },
            MemberKind::BlockDevice(device) => Draft { device, ..draft(b'4') },
            MemberKind::Directory => draft(b'5'),
            MemberKind::Fifo => draft(b'6'),
        };
        self.put(&draft, copy)
    }

    /// Writes the archive's end.
    ///
    /// # Errors
    /// If nobody takes the bytes.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out.inner)
    }

    fn put(
        &mut self,
        draft: &Draft<'_>,
        copy: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        self.out.write_all(&draft.to_bytes())?;
        let before = self.out.count;
        copy(&mut self.out)?;
        let copied = self.out.count.saturating_sub(before);
        if copied != draft.size {
            let path = printable(draft.path);
            return Err(WriteError::Size { path, size: draft.size, copied });
        }
        pad(&mut self.out)?;
        Ok(())
    }
}

/// A member's path as tars have it: directories end with a slash, the root is `./`.
fn member_path<C>(path: &[u8], inode: &Inode<C>) -> Vec<u8> {
    match (path, inode.is_directory()) {
        (b"", _) => b"./".to_vec(),
        (_, true) => [path, b"/"].concat(),
        (_, false) => path.to_vec(),
    }
}

fn draft<'a, C>(path: &'a [u8], inode: &'a Inode<C>) -> Option<Draft<'a>> {
    let draft = |kind| Draft::new(path, &inode.meta, kind);
    Some(match inode.kind() {
        Kind::File(_) => draft(b'0'),
        Kind::Symlink(target) => draft(b'2').link(target),
        Kind::CharDevice(device) => Draft { device: *device, ..draft(b'3') },
        Kind::BlockDevice(device) => Draft { device: *device, ..draft(b'4') },
        Kind::Directory(_) => draft(b'5'),
        Kind::Fifo => draft(b'6'),
        Kind::Socket => return None,
    })
}

fn pad<W: Write>(out: &mut Counted<W>) -> io::Result<()> {
    let over = usize::try_from(out.count % BLOCK as u64).unwrap_or_default();
    let zeros = [0; BLOCK];
    out.write_all(zeros.get(over..).filter(|_| over > 0).unwrap_or_default())
}

/// A writer that counts.
struct Counted<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count = self.count.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
