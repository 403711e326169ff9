//! The types that keep unchecked bytes out of the store, the uploader and the mirror.
//!
//! ```text
//!   the wire, the disk ──► Unverified ──PieceBook::verify──► Verified ──► store, uploader, mirror
//!   origin, read by a supernode ──Attestor::attest─────────────┘
//!   origin, read by a node ──► Provisional ──(the blob's SHA-256 matched: Whole)──► kept as pieces
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::digest::{BlobHasher, Digest};
use crate::piece::{GROUP, PieceDigest, PieceProof};
use crate::sign::Signer;
use crate::statement::Statement;
use crate::task::{Layout, PieceIndex, TaskId};

/// Bytes that somebody sent or a disk returned: nothing is known of them.
#[derive(Clone)]
pub struct Unverified(Bytes);

impl Unverified {
    /// Marks bytes that came from outside.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unverified({} bytes)", self.0.len())
    }
}

/// One whole piece of a task, checked against a believed digest.
#[derive(Clone, Debug)]
pub struct Verified {
    task: TaskId,
    layout: Layout,
    index: PieceIndex,
    bytes: Bytes,
}

impl Verified {
    /// The task that the piece is of.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// How the task is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The piece's number.
    #[must_use]
    pub const fn index(&self) -> PieceIndex {
        self.index
    }

    /// Where the piece lies in the task: from the task's own cut, never from what a peer says.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * self.layout.piece_size().bytes()
    }

    /// The piece's bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// One whole piece that a node took from the origin itself, or from a peer without a signed
/// digest: it may be kept and streamed on this node, and is never uploaded, until the blob's
/// SHA-256 has matched.
#[derive(Clone, Debug)]
pub struct Provisional {
    task: TaskId,
    layout: Layout,
    index: PieceIndex,
    bytes: Bytes,
}

impl Provisional {
    /// A piece as the origin sent it; `None` unless it has just the piece's length.
    #[must_use]
    pub fn new(task: TaskId, layout: Layout, index: PieceIndex, bytes: Unverified) -> Option<Self> {
        fits(layout, index, &bytes.0).then_some(Self { task, layout, index, bytes: bytes.0 })
    }

    /// The task that the piece is of.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The piece's number.
    #[must_use]
    pub const fn index(&self) -> PieceIndex {
        self.index
    }

    /// Where the piece lies in the task.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * self.layout.piece_size().bytes()
    }

    /// The piece's bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No believed digest of this piece is known.
    #[error("piece {0} has no known digest")]
    Unknown(PieceIndex),
    /// The piece has another length.
    #[error("piece {index} has {actual} bytes, not {expected}")]
    Length {
        /// The piece.
        index: PieceIndex,
        /// Its length by the task's cut.
        expected: u64,
        /// The length of what came.
        actual: u64,
    },
    /// The proof does not lead to the piece's digest.
    #[error("the proof of piece {0} does not lead to its digest")]
    Proof(PieceIndex),
    /// The bytes are not what the digest says.
    #[error("piece {0} does not match its digest")]
    Bytes(PieceIndex),
    /// The whole does not match the digest that names it.
    #[error("expected {expected}, got {actual}")]
    Whole {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
}

/// What is believed about one task: its cut, and the digests of its pieces as they become known.
#[derive(Clone, Debug)]
pub struct PieceBook {
    task: TaskId,
    layout: Layout,
    digests: Arc<Vec<Option<PieceDigest>>>,
}

/// A statement that is about another task, or cuts it in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement is about another task, or cuts it in another way")]
pub struct OtherTask;

impl PieceBook {
    /// An empty book.
    #[must_use]
    pub fn new(task: TaskId, layout: Layout) -> Self {
        Self { task, layout, digests: Arc::new(vec![None; layout.pieces() as usize]) }
    }

    /// A book that begins with what `statement` says.
    #[must_use]
    pub fn of(statement: &Statement) -> Self {
        let mut book = Self::new(statement.task(), statement.layout());
        book.write(statement);
        book
    }

    /// Takes over what `statement` says.
    ///
    /// # Errors
    /// If the statement is about another task or another cut of it.
    pub fn learn(&mut self, statement: &Statement) -> Result<(), OtherTask> {
        if statement.task() != self.task || statement.layout() != self.layout {
            return Err(OtherTask);
        }
        self.write(statement);
        Ok(())
    }

    /// Takes over a digest that this node kept itself, from a whole that matched. What a supernode
    /// signed comes before it.
    pub fn recall(&mut self, index: PieceIndex, digest: PieceDigest) {
        if let Some(entry) = Arc::make_mut(&mut self.digests).get_mut(index as usize) {
            entry.get_or_insert(digest);
        }
    }

    fn write(&mut self, statement: &Statement) {
        let digests = Arc::make_mut(&mut self.digests);
        for (index, digest) in statement.digests() {
            if let Some(entry) = digests.get_mut(index as usize) {
                *entry = Some(digest);
            }
        }
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// How the task is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The believed digest of piece `index`.
    #[must_use]
    pub fn digest(&self, index: PieceIndex) -> Option<PieceDigest> {
        self.digests.get(index as usize).copied().flatten()
    }

    /// The one check: bytes become a piece of the task if they match its believed digest.
    ///
    /// # Errors
    /// What differs.
    pub fn verify(&self, index: PieceIndex, bytes: Unverified) -> Result<Verified, Mismatch> {
        let digest = self.digest(index).ok_or(Mismatch::Unknown(index))?;
        check_length(self.layout, index, bytes.0.len() as u64)?;
        if PieceDigest::of(&bytes.0) != digest {
            return Err(Mismatch::Bytes(index));
        }
        Ok(self.piece(index, bytes.0))
    }

    /// Starts to receive piece `index`, to be checked group by group as it arrives.
    ///
    /// # Errors
    /// If the piece's digest is not known, or the proof does not lead to it.
    pub fn receive(&self, index: PieceIndex, proof: PieceProof) -> Result<Receiving, Mismatch> {
        let digest = self.digest(index).ok_or(Mismatch::Unknown(index))?;
        let extent = self.layout.extent(index).ok_or(Mismatch::Unknown(index))?;
        let length = extent.end - extent.start;
        if !proof.leads_to(digest, length) {
            return Err(Mismatch::Proof(index));
        }
        Ok(Receiving {
            book: self.clone(),
            index,
            proof,
            length: usize::try_from(length).unwrap_or(usize::MAX),
            checked: 0,
            bytes: Vec::with_capacity(usize::try_from(length).unwrap_or(0)),
        })
    }

    fn piece(&self, index: PieceIndex, bytes: Bytes) -> Verified {
        Verified { task: self.task, layout: self.layout, index, bytes }
    }
}

/// A piece on its way in: each 64 KiB is checked before more is taken.
#[derive(Debug)]
pub struct Receiving {
    book: PieceBook,
    index: PieceIndex,
    proof: PieceProof,
    length: usize,
    checked: usize,
    bytes: Vec<u8>,
}

impl Receiving {
    /// How many bytes are still to come.
    #[must_use]
    pub const fn missing(&self) -> usize {
        self.length - self.bytes.len()
    }

    /// Takes the next bytes and checks every group that is now whole.
    ///
    /// # Errors
    /// At the first group that is not what the proof says, or when more comes than the piece has.
    pub fn push(&mut self, bytes: &Unverified) -> Result<(), Mismatch> {
        let actual = self.bytes.len() + bytes.len();
        if actual > self.length {
            return Err(Mismatch::Length {
                index: self.index,
                expected: self.length as u64,
                actual: actual as u64,
            });
        }
        self.bytes.extend_from_slice(&bytes.0);
        while self.checked < self.bytes.len() {
            let end = (self.checked + GROUP).min(self.length);
            if end > self.bytes.len() {
                break;
            }
            if !self.proof.admits(self.checked / GROUP, &self.bytes[self.checked..end]) {
                return Err(Mismatch::Bytes(self.index));
            }
            self.checked = end;
        }
        Ok(())
    }

    /// The piece, once all of it has come.
    ///
    /// # Errors
    /// If bytes are missing, or a piece of one group does not match its digest.
    pub fn finish(self) -> Result<Verified, Mismatch> {
        check_length(self.book.layout, self.index, self.bytes.len() as u64)?;
        let bytes = Bytes::from(self.bytes);
        if self.proof.is_sufficient() {
            return Ok(self.book.piece(self.index, bytes));
        }
        self.book.verify(self.index, Unverified(bytes))
    }
}

/// The power to say what the origin sent: only who holds the cluster's [`Signer`] has it.
#[derive(Clone, Debug)]
pub struct Attestor {
    signer: Arc<Signer>,
}

impl Attestor {
    /// The power that goes with the signing key.
    #[must_use]
    pub const fn new(signer: Arc<Signer>) -> Self {
        Self { signer }
    }

    /// The signing key.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Makes a piece of what the origin sent, and says its digest; `None` unless it has just the
    /// piece's length.
    #[must_use]
    pub fn attest(
        &self,
        task: TaskId,
        layout: Layout,
        index: PieceIndex,
        bytes: Unverified,
    ) -> Option<(Verified, PieceDigest)> {
        if !fits(layout, index, &bytes.0) {
            return None;
        }
        let digest = PieceDigest::of(&bytes.0);
        let piece = Verified { task, layout, index, bytes: bytes.0 };
        Some((piece, digest))
    }
}

/// The fact that all bytes of a task were hashed on this node and are what its name says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    task: TaskId,
    digest: Digest,
    length: u64,
}

impl Whole {
    /// Ends the one SHA-256 pass over a task of `length` bytes.
    ///
    /// A URL's task has no digest in its name: `expected` is what its user gave, if anything; the
    /// digest that came out stands in the fact.
    ///
    /// # Errors
    /// If the bytes are not what the name or `expected` says, or not all were hashed.
    pub fn prove(
        task: TaskId,
        expected: Option<Digest>,
        length: u64,
        hasher: BlobHasher,
    ) -> Result<Self, Mismatch> {
        if hasher.hashed() != length {
            return Err(Mismatch::Length { index: 0, expected: length, actual: hasher.hashed() });
        }
        let digest = hasher.finish();
        for expected in [task.digest(), expected].into_iter().flatten() {
            if expected != digest {
                return Err(Mismatch::Whole { expected, actual: digest });
            }
        }
        Ok(Self { task, digest, length })
    }

    /// The task that is whole.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The SHA-256 of all its bytes.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

fn fits(layout: Layout, index: PieceIndex, bytes: &[u8]) -> bool {
    check_length(layout, index, bytes.len() as u64).is_ok()
}

fn check_length(layout: Layout, index: PieceIndex, actual: u64) -> Result<(), Mismatch> {
    let extent = layout.extent(index).ok_or(Mismatch::Unknown(index))?;
    let expected = extent.end - extent.start;
    if actual == expected {
        return Ok(());
    }
    Err(Mismatch::Length { index, expected, actual })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Said;

    const LENGTH: u64 = 40 << 20;

    fn blob() -> Vec<u8> {
        (0..LENGTH).map(|i| (i * 7 % 253) as u8).collect()
    }

    fn book(blob: &[u8]) -> PieceBook {
        let layout = Layout::for_length(blob.len() as u64).expect("within bounds");
        let size = usize::try_from(layout.piece_size().bytes()).expect("small");
        let said = Said {
            task: TaskId::Blob(Digest::of(blob)),
            layout,
            whole: false,
            media_type: String::new(),
            first: 0,
            digests: blob.chunks(size).map(PieceDigest::of).collect(),
        };
        let signer = Signer::from_seed(&[3; 32]).expect("32 bytes");
        PieceBook::of(&Statement::sign(said, &signer).0)
    }

    fn piece(blob: &[u8], book: &PieceBook, index: u32) -> Bytes {
        let extent = book.layout().extent(index).expect("in the task");
        let range = usize::try_from(extent.start).expect("small")
            ..usize::try_from(extent.end).expect("small");
        Bytes::copy_from_slice(&blob[range])
    }

    #[test]
    fn a_piece_is_verified_only_in_its_own_place() {
        let blob = blob();
        let book = book(&blob);
        let bytes = piece(&blob, &book, 3);
        assert!(book.verify(3, Unverified::new(bytes.clone())).is_ok());
        let elsewhere = book.verify(4, Unverified::new(bytes.clone())).err();
        assert_eq!(elsewhere, Some(Mismatch::Bytes(4)));
        let short = book.verify(3, Unverified::new(bytes.slice(1..))).err();
        assert!(matches!(short, Some(Mismatch::Length { .. })));
    }

    #[test]
    fn a_lie_is_found_within_its_group_and_no_more_is_taken() {
        let blob = blob();
        let book = book(&blob);
        let bytes = piece(&blob, &book, 0);
        let mut receiving = book.receive(0, PieceProof::of(&bytes)).expect("a true proof");
        receiving.push(&Unverified::new(bytes.slice(..GROUP))).expect("true bytes");
        let lie = Unverified::new(Bytes::from(vec![0; GROUP]));
        assert_eq!(receiving.push(&lie), Err(Mismatch::Bytes(0)));
        let other = PieceProof::of(&vec![0; bytes.len()]);
        assert_eq!(book.receive(0, other).err(), Some(Mismatch::Proof(0)));
    }

    #[test]
    fn too_many_and_too_few_bytes_are_no_piece() {
        let blob = blob();
        let book = book(&blob);
        let bytes = piece(&blob, &book, 0);
        let mut receiving = book.receive(0, PieceProof::of(&bytes)).expect("a true proof");
        for part in bytes.chunks(10_000) {
            receiving.push(&Unverified::new(Bytes::copy_from_slice(part))).expect("true bytes");
        }
        let more = receiving.push(&Unverified::new(Bytes::from_static(b"x")));
        assert!(matches!(more, Err(Mismatch::Length { .. })));
        assert_eq!(receiving.finish().expect("whole").bytes(), &bytes);
        let empty = book.receive(0, PieceProof::of(&bytes)).expect("a true proof");
        assert!(matches!(empty.finish(), Err(Mismatch::Length { .. })));
    }

    #[test]
    fn a_whole_is_what_its_name_says() {
        let task = TaskId::Blob(Digest::of(b"abc"));
        let mut hasher = BlobHasher::new();
        hasher.update(b"abc");
        assert!(Whole::prove(task, None, 3, hasher.clone()).is_ok());
        assert!(Whole::prove(task, None, 4, hasher.clone()).is_err());
        let other = Whole::prove(task, Some(Digest::of(b"x")), 3, hasher);
        assert!(matches!(other, Err(Mismatch::Whole { .. })));
    }
}
