//! What lies beside a bootstrap in its layer, as far as it is held in memory: who made the layer may
//! have put anything there, in any length.

use std::collections::HashMap;
use std::io::{self, Read};

use bytes::Bytes;
use content::Digest;
use rafs::{BlobId, Bootstrap};

/// So many bytes are held, together: 256 MiB. Compression info has at most 64 bytes a chunk, so that
/// is the info of four million.
const MOST: u64 = 256 << 20;

/// The files beside a bootstrap.
#[derive(Debug)]
pub(crate) struct Beside {
    left: u64,
    /// How long the info of each of the image's blobs is, once the bootstrap was read.
    lengths: Option<HashMap<Digest, u64>>,
    pub(crate) metas: HashMap<Digest, Bytes>,
    pub(crate) merkle: Option<Bytes>,
}

impl Beside {
    pub(crate) fn new() -> Self {
        Self { left: MOST, lengths: None, metas: HashMap::new(), merkle: None }
    }

    /// The bootstrap is this one: what belongs to no blob of it goes.
    pub(crate) fn is_beside(&mut self, bootstrap: &Bytes) {
        // What is wrong with it, whoever reads it is told.
        let bootstrap = Bootstrap::parse_tree(bootstrap.as_ref());
        let blobs = bootstrap.iter().flat_map(Bootstrap::blobs);
        let lengths: HashMap<_, _> = blobs
            .filter_map(|blob| match blob.id {
                BlobId::Digest(digest) => Some((digest, blob.ci_file_length())),
                BlobId::Inline => None,
            })
            .collect();
        let fits =
            |blob: &Digest, length: u64| lengths.get(blob).is_some_and(|most| length <= *most);
        let before = held(&self.metas);
        self.metas.retain(|blob, file| fits(blob, file.len() as u64));
        self.left = self.left.saturating_add(before.saturating_sub(held(&self.metas)));
        self.lengths = Some(lengths);
    }

    /// The compression info of `blob`, as a file. What is too long is held one byte too long: so it
    /// is wrong, and says so.
    pub(crate) fn meta(&mut self, blob: Digest, data: impl Read) -> io::Result<()> {
        let most = match &self.lengths {
            None => u64::MAX,
            Some(lengths) => match lengths.get(&blob) {
                Some(length) => length.saturating_add(1),
                None => return Ok(()),
            },
        };
        if let Some(file) = self.hold(data, most)? {
            self.metas.insert(blob, file);
        }
        Ok(())
    }

    /// The hashes of the tree.
    pub(crate) fn merkle(&mut self, data: impl Read) -> io::Result<()> {
        self.merkle = self.hold(data, u64::MAX)?;
        Ok(())
    }

    /// The first `most` bytes; `None` if that is more than there is room for.
    fn hold(&mut self, data: impl Read, most: u64) -> io::Result<Option<Bytes>> {
        let mut bytes = Vec::new();
        data.take(most.min(self.left.saturating_add(1))).read_to_end(&mut bytes)?;
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else { return Ok(None) };
        self.left = left;
        Ok(Some(bytes.into()))
    }
}

fn held(metas: &HashMap<Digest, Bytes>) -> u64 {
    metas.values().map(|file| file.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That is no bootstrap: it has no blobs.
    const NONE: Bytes = Bytes::from_static(b"no bootstrap");

    #[test]
    fn what_belongs_to_no_blob_is_not_held() {
        let mut beside = Beside::new();
        beside.meta(Digest::of(b"a"), &[7; 100][..]).unwrap();
        assert_eq!((beside.metas.len(), beside.left), (1, MOST - 100));
        beside.is_beside(&NONE);
        assert_eq!((beside.metas.len(), beside.left), (0, MOST));
        beside.meta(Digest::of(b"a"), &[7; 100][..]).unwrap();
        assert_eq!((beside.metas.len(), beside.left), (0, MOST));
    }

    #[test]
    fn of_a_blobs_info_no_more_is_held_than_it_can_have() {
        let mut beside = Beside::new();
        beside.lengths = Some([(Digest::of(b"a"), 10)].into());
        beside.meta(Digest::of(b"a"), io::repeat(7)).unwrap();
        assert_eq!(beside.metas[&Digest::of(b"a")].len(), 11);
    }

    #[test]
    fn together_there_is_an_end() {
        let mut beside = Beside { left: 1000, ..Beside::new() };
        for number in 0..100_u32 {
            beside.meta(Digest::of(&number.to_le_bytes()), io::repeat(7).take(99)).unwrap();
        }
        assert_eq!((beside.metas.len(), beside.left), (10, 10));
        // Nothing that is endless is read to its end.
        beside.meta(Digest::of(b"endless"), io::repeat(7)).unwrap();
        beside.merkle(io::repeat(7)).unwrap();
        assert_eq!((beside.metas.len(), beside.merkle), (10, None));
    }
}
