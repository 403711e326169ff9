//! A piece's BLAKE3 digest, and the proof that lets it be checked every 64 KiB.
//!
//! BLAKE3 is a tree over 1 KiB chunks (BLAKE3 paper, section 2.1). The chaining values of a
//! piece's aligned 64 KiB groups determine the piece's digest, so a sender can tell them first and
//! the receiver can check each group as it arrives: a lie costs 64 KiB, not a piece.

use std::fmt;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

/// The bytes that one entry of a [`PieceProof`] covers.
pub const GROUP: usize = 64 * 1024;

/// The BLAKE3 digest of one piece.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PieceDigest([u8; 32]);

impl PieceDigest {
    /// The digest of a piece's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A digest from its raw bytes.
    #[must_use]
    pub const fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PieceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", hex::encode(self.0))
    }
}

/// The chaining values of a piece's 64 KiB groups; empty for a piece of one group, which its
/// digest alone proves.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PieceProof(Vec<ChainingValue>);

impl PieceProof {
    /// The proof of a piece's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= GROUP {
            return Self(Vec::new());
        }
        Self(
            bytes
                .chunks(GROUP)
                .enumerate()
                .map(|(number, group)| chaining_value(number, group))
                .collect(),
        )
    }

    /// A proof as the wire carries it: 32 bytes a group. `None` unless it fits a piece of
    /// `length` bytes.
    #[must_use]
    pub fn from_bytes(length: u64, raw: &[u8]) -> Option<Self> {
        let (values, rest) = raw.as_chunks::<32>();
        let fits = rest.is_empty() && values.len() == Self::entries(length);
        fits.then(|| Self(values.to_vec()))
    }

    /// The proof as the wire carries it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// How many entries the proof of a piece of `length` bytes has.
    #[must_use]
    pub fn entries(length: u64) -> usize {
        match usize::try_from(length) {
            Ok(length) if length > GROUP => length.div_ceil(GROUP),
            _ => 0,
        }
    }

    /// Whether this proof leads to `digest` for a piece of `length` bytes.
    #[must_use]
    pub fn leads_to(&self, digest: PieceDigest, length: u64) -> bool {
        if self.0.is_empty() {
            // One group: nothing is proven yet, the digest will check the bytes themselves.
            return Self::entries(length) == 0;
        }
        if self.0.len() != Self::entries(length) {
            return false;
        }
        let (left, right) = self.0.split_at(left_groups(length));
        let left_length = left_subtree_len(length);
        let root = merge_subtrees_root(
            &merged(left, left_length),
            &merged(right, length - left_length),
            Mode::Hash,
        );
        *root.as_bytes() == digest.0
    }

    /// Whether `group`, the piece's group `number`, is what this proof says; a proof without
    /// entries says nothing and lets its only group pass on to the digest's check.
    #[must_use]
    pub fn admits(&self, number: usize, group: &[u8]) -> bool {
        if self.0.is_empty() {
            return number == 0;
        }
        !group.is_empty() && self.0.get(number) == Some(&chaining_value(number, group))
    }

    /// Whether the groups alone prove the piece, so that no second pass over its bytes is needed.
    #[must_use]
    pub fn is_sufficient(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for PieceProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PieceProof({} groups)", self.0.len())
    }
}

fn chaining_value(number: usize, group: &[u8]) -> ChainingValue {
    blake3::Hasher::new()
        .set_input_offset((number * GROUP) as u64)
        .update(group)
        .finalize_non_root()
}

/// How many whole groups lie in the left subtree of `length` bytes, more than one group.
fn left_groups(length: u64) -> usize {
    usize::try_from(left_subtree_len(length)).unwrap_or(usize::MAX) / GROUP
}

/// The chaining value over several groups; never the root.
fn merged(groups: &[ChainingValue], length: u64) -> ChainingValue {
    match groups {
        [] => [0; 32], // not reached: entries() and the split leave both sides non-empty
        [only] => *only,
        _ => {
            let (left, right) = groups.split_at(left_groups(length));
            let left_length = left_subtree_len(length);
            merge_subtrees_non_root(
                &merged(left, left_length),
                &merged(right, length - left_length),
                Mode::Hash,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..=250).map(|i: u8| i.wrapping_mul(31)).cycle().take(length).collect()
    }

    #[test]
    fn proofs_of_all_shapes_lead_to_the_digest() {
        for length in
            [1, 1024, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP, 3 * GROUP + 5, 5 * GROUP, 1 << 20]
        {
            let piece = bytes(length);
            let digest = PieceDigest::of(&piece);
            let proof = PieceProof::of(&piece);
            assert!(proof.leads_to(digest, length as u64), "{length}");
            for (number, group) in piece.chunks(GROUP).enumerate() {
                assert!(proof.admits(number, group), "{length} group {number}");
            }
            let told = PieceProof::from_bytes(length as u64, &proof.to_bytes());
            assert_eq!(told, Some(proof));
        }
    }

    #[test]
    fn a_flipped_bit_is_found_in_its_own_group() {
        let mut piece = bytes(3 * GROUP + 5);
        let proof = PieceProof::of(&piece);
        piece[2 * GROUP + 7] ^= 1;
        let admitted: Vec<_> = piece
            .chunks(GROUP)
            .enumerate()
            .map(|(number, group)| proof.admits(number, group))
            .collect();
        assert_eq!(admitted, [true, true, false, true]);
    }

    #[test]
    fn a_proof_of_something_else_leads_nowhere() {
        let piece = bytes(2 * GROUP);
        let digest = PieceDigest::of(&piece);
        let mut other = piece.clone();
        other[0] ^= 1;
        assert!(!PieceProof::of(&other).leads_to(digest, piece.len() as u64));
        assert!(!PieceProof::default().leads_to(digest, piece.len() as u64));
        assert_eq!(PieceProof::from_bytes(2 * GROUP as u64, &[0; 33]), None);
        assert_eq!(PieceProof::from_bytes(2 * GROUP as u64, &[0; 96]), None);
        assert_eq!(PieceProof::from_bytes(7, &[0; 32]), None);
    }
}
