//! A piece on its way in, checked as it arrives, so that a lie is found within 64 KiB.

use bytes::Bytes;

use super::mismatch::check_length;
use super::{Mismatch, PieceBook, Unverified, Verified};
use crate::piece::{GROUP, PieceProof};
use crate::task::PieceIndex;

impl PieceBook {
    /// Starts to receive piece `index`, to be checked group by group as it arrives.
    ///
    /// # Errors
    /// If the piece's digest is not known, or the proof does not lead to it.
    pub fn receive(&self, index: PieceIndex, proof: PieceProof) -> Result<Receiving, Mismatch> {
        let digest = self.digest(index).ok_or(Mismatch::Unknown(index))?;
        let extent = self.layout().extent(index).ok_or(Mismatch::Unknown(index))?;
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
        check_length(self.book.layout(), self.index, self.bytes.len() as u64)?;
        let bytes = Bytes::from(self.bytes);
        if self.proof.is_sufficient() {
            return Ok(self.book.piece(self.index, bytes));
        }
        self.book.verify(self.index, Unverified(bytes))
    }
}
