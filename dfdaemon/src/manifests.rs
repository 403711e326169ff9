//! Manifests that clients had: kept in memory, so that a warm one costs nobody a request.
//!
//! Holding one says nothing of who may have it: `grants` does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use content::Digest;

/// So many bytes of manifests are kept; the least recently used go first.
const MAX_BYTES: usize = 8 << 20;

/// What one costs beside its bytes.
const OVERHEAD: usize = 512;

/// A manifest's bytes, which its digest was checked against.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub body: Bytes,
}

/// Manifests by digest.
#[derive(Debug, Default)]
pub struct Manifests {
    kept: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_digest: HashMap<Digest, (Kept, u64)>,
    bytes: usize,
    uses: u64,
}

impl Manifests {
    /// Keeps a manifest; bytes that are not what `digest` says are not kept.
    pub fn keep(&self, digest: Digest, media_type: &str, body: &Bytes) {
        let mut table = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if table.by_digest.contains_key(&digest) || Digest::of(body) != digest {
            return;
        }
        // A copy of its own: `body` may be a small part of a large buffer.
        let kept = Kept { media_type: media_type.to_owned(), body: Bytes::copy_from_slice(body) };
        table.uses += 1;
        table.bytes += body.len() + OVERHEAD;
        let uses = table.uses;
        table.by_digest.insert(digest, (kept, uses));
        while table.bytes > MAX_BYTES {
            let oldest = table.by_digest.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else { return };
            if let Some((gone, _)) = table.by_digest.remove(&oldest) {
                table.bytes -= gone.body.len() + OVERHEAD;
            }
        }
    }

    /// The manifest of this digest, if it is kept.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<Kept> {
        let mut table = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        table.uses += 1;
        let uses = table.uses;
        let (kept, used) = table.by_digest.get_mut(digest)?;
        *used = uses;
        Some(kept.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_wrong_bytes_are_not_kept() {
        let manifests = Manifests::default();
        let bodies: Vec<_> = (0..5_u8).map(|n| Bytes::from(vec![n; 2 << 20])).collect();
        let digests: Vec<_> = bodies.iter().map(|body| Digest::of(body)).collect();
        for at in [0, 1, 2] {
            manifests.keep(digests[at], "type", &bodies[at]);
        }
        assert!(manifests.get(&digests[0]).is_some_and(|kept| kept.body == bodies[0]));
        for at in [3, 4] {
            manifests.keep(digests[at], "type", &bodies[at]);
        }
        let here = digests.iter().map(|digest| manifests.get(digest).is_some());
        assert_eq!(here.collect::<Vec<_>>(), [true, false, false, true, true]);
        manifests.keep(Digest::of(b"other"), "type", &bodies[0]);
        assert!(manifests.get(&Digest::of(b"other")).is_none());
    }
}
