//! What is in an archive, and where.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use content::Digest;
use layer::{Member, MemberKind};

use super::MANIFEST_LIMIT;
use super::error::StoreError;

/// Where a member's data lie in an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The members of an archive by their names.
#[derive(Debug)]
pub(crate) struct Members {
    file: Arc<File>,
    spans: BTreeMap<String, Span>,
    links: BTreeMap<String, String>,
}

impl Members {
    pub(crate) fn new(file: Arc<File>) -> Self {
        Self { file, spans: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// A member whose data begin at `offset`. Sparse ones are none that an image has.
    pub(crate) fn add(&mut self, member: &Member, offset: u64) {
        let Some(path) = clean(&member.path) else { return };
        match member.kind {
            MemberKind::File => {
                let stored: u64 = member.extents.iter().map(|extent| extent.length).sum();
                if stored == member.size {
                    self.spans.insert(path, Span { offset, length: member.size });
                }
            }
            // Older `docker save` writes a layer once and links to it.
            MemberKind::Symlink | MemberKind::HardLink => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = String::from_utf8_lossy(&member.link).into_owned();
                let target = match member.kind {
                    MemberKind::Symlink => join(folder, &target),
                    _ => target,
                };
                self.links.insert(path, target);
            }
            _ => {}
        }
    }

    /// The member of this name; one link is followed.
    pub(crate) fn get(&self, path: &str) -> Option<Span> {
        let path = clean(path.as_bytes())?;
        let target = self.links.get(&path).unwrap_or(&path);
        self.spans.get(target).copied()
    }

    /// The bytes of a member that is text.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(span) = self.get(path) else { return Ok(None) };
        if span.length > MANIFEST_LIMIT {
            let what = path.to_owned();
            return Err(StoreError::LongMember {
                what,
                length: span.length,
                limit: MANIFEST_LIMIT,
            });
        }
        let mut bytes = Vec::new();
        let read = self.part(span, 0..span.length).read_to_end(&mut bytes);
        read.map_err(StoreError::file(path))?;
        Ok(Some(bytes))
    }

    /// The bytes `range` of a member.
    pub(crate) fn part(&self, span: Span, range: Range<u64>) -> Part {
        let end = range.end.min(span.length);
        let left = end.saturating_sub(range.start);
        Part { file: Arc::clone(&self.file), at: span.offset.saturating_add(range.start), left }
    }

    /// All blobs of a layout.
    pub(crate) fn blobs(&self) -> BTreeMap<Digest, Span> {
        let blob = |(path, span): (&String, &Span)| {
            let digest = format!("sha256:{}", path.strip_prefix("blobs/sha256/")?).parse().ok()?;
            Some((digest, *span))
        };
        self.spans.iter().filter_map(blob).collect()
    }
}

/// A name without what does not change it; `None` for one that leads out.
fn clean(path: &[u8]) -> Option<String> {
    let path = tree::Path::parse(path).ok()?;
    String::from_utf8(path.as_bytes().to_vec()).ok()
}

/// Where a relative link in `folder` leads.
fn join(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A part of an archive.
#[derive(Debug)]
pub(crate) struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(read as u64);
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
