//! The power to say what the origin sent.

use std::sync::Arc;

use super::mismatch::fits;
use super::{Unverified, Verified};
use crate::piece::PieceDigest;
use crate::sign::Signer;
use crate::task::{Layout, PieceIndex, TaskId};

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
