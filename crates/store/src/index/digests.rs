//! The digests of pieces that this node took from the origin itself, many to an entry.

use content::{PieceDigest, PieceIndex, TaskId};

use super::Index;
use crate::error::IndexError;
use crate::names;

/// Pieces whose digests share one entry.
const PAGE: u32 = 1024;

impl Index {
    /// Keeps the digests of pieces that this node took from the origin itself.
    pub(crate) fn add_digests(
        &self,
        id: &TaskId,
        digests: &[(PieceIndex, PieceDigest)],
    ) -> Result<(), IndexError> {
        self.with(|trees| {
            for page in digests.chunk_by(|(a, _), (b, _)| a / PAGE == b / PAGE) {
                let Some((first, _)) = page.first() else {
                    continue;
                };
                let key = digest_key(id, *first);
                // What was there goes last: of two digests of a piece the first found counts.
                let mut value = Vec::new();
                for (index, digest) in page {
                    value.extend_from_slice(&index.to_be_bytes());
                    value.extend_from_slice(digest.as_bytes());
                }
                if let Some(before) = trees.digests.get(&key)? {
                    let room = (PAGE as usize * 36).saturating_sub(value.len());
                    value.extend_from_slice(&before[..before.len().min(room)]);
                }
                trees.digests.insert(key, value)?;
            }
            Ok(())
        })
    }

    /// The digest of a piece that this node took from the origin itself.
    pub(crate) fn digest(
        &self,
        id: &TaskId,
        index: PieceIndex,
    ) -> Result<Option<PieceDigest>, IndexError> {
        self.with(|trees| {
            let page = trees.digests.get(digest_key(id, index))?;
            Ok(page.and_then(|page| {
                let (entries, _) = page.as_chunks::<36>();
                let entry = entries.iter().find(|entry| entry[..4] == index.to_be_bytes())?;
                let digest: [u8; 32] = entry[4..].try_into().ok()?;
                Some(PieceDigest::from_bytes(digest))
            }))
        })
    }

    /// The digests of all pieces that this node took from the origin itself. Of two of one piece the
    /// first counts.
    pub(crate) fn digests(
        &self,
        id: &TaskId,
    ) -> Result<Vec<(PieceIndex, PieceDigest)>, IndexError> {
        self.with(|trees| {
            let mut all = Vec::new();
            for page in trees.digests.scan_prefix(names::key(id)).values() {
                let page = page?;
                let (entries, _) = page.as_chunks::<36>();
                all.extend(entries.iter().filter_map(|entry| {
                    let (index, digest) = entry.split_first_chunk::<4>()?;
                    let digest = PieceDigest::from_bytes(digest.try_into().ok()?);
                    Some((PieceIndex::from_be_bytes(*index), digest))
                }));
            }
            Ok(all)
        })
    }
}

fn digest_key(id: &TaskId, index: PieceIndex) -> Vec<u8> {
    let page = index / PAGE * PAGE;
    [&names::key(id)[..], &page.to_be_bytes()].concat()
}
