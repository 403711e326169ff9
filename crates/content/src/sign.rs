//! The cluster's signature: who may say what a task is, and who may have it.
//!
//! One Ed25519 key pair a cluster. Supernodes hold the signing half, nodes the verifying half,
//! which they learned when they joined. Every kind of statement is signed under its own domain, so
//! that one can never be taken for another.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// A signature's length in bytes (RFC 8032, section 5.1.6).
pub const SIGNATURE: usize = 64;

/// What a signature is for. The text is part of what is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// What a task is: its length, its cut, its piece digests.
    Statement,
    /// Who may have a task, and until when.
    Ticket,
}

impl Domain {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Statement => b"meganeura statement v1\0",
            Self::Ticket => b"meganeura ticket v1\0",
        }
    }

    fn message(self, body: &[u8]) -> Vec<u8> {
        [self.prefix(), body].concat()
    }
}

/// The signing half, which only supernodes hold.
pub struct Signer {
    pair: Ed25519KeyPair,
}

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's signing key is not an Ed25519 seed of 32 bytes")]
pub struct BadKey;

impl Signer {
    /// From a 32-byte seed, which the caller made at random or read from the cluster's
    /// configuration.
    ///
    /// # Errors
    /// If the seed has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, BadKey> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(|pair| Self { pair }).map_err(|_| BadKey)
    }

    /// Signs `body` under `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, body: &[u8]) -> Vec<u8> {
        self.pair.sign(&domain.message(body)).as_ref().to_vec()
    }

    /// The verifying half.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        Verifier { keys: vec![key] }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(<secret>)")
    }
}

/// The verifying half: one key, or several while a cluster changes its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    keys: Vec<[u8; 32]>,
}

impl Verifier {
    /// The keys whose signatures are believed.
    #[must_use]
    pub const fn new(keys: Vec<[u8; 32]>) -> Self {
        Self { keys }
    }

    /// The keys, to be told to a node that joins.
    #[must_use]
    pub fn keys(&self) -> &[[u8; 32]] {
        &self.keys
    }

    /// Whether one of the keys signed `body` under `domain`.
    #[must_use]
    pub fn verify(&self, domain: Domain, body: &[u8], signature: &[u8]) -> bool {
        let message = domain.message(body);
        self.keys
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&message, signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_words_and_domain_only() {
        let signer = Signer::from_seed(&[7; 32]).expect("32 bytes");
        let verifier = signer.verifier();
        let signature = signer.sign(Domain::Ticket, b"body");
        assert!(verifier.verify(Domain::Ticket, b"body", &signature));
        assert!(!verifier.verify(Domain::Statement, b"body", &signature));
        assert!(!verifier.verify(Domain::Ticket, b"bodY", &signature));
        assert!(!verifier.verify(Domain::Ticket, b"body", &signature[1..]));
        let stranger = Signer::from_seed(&[8; 32]).expect("32 bytes").verifier();
        assert!(!stranger.verify(Domain::Ticket, b"body", &signature));
        assert_eq!(Signer::from_seed(&[1; 31]).err(), Some(BadKey));
    }
}
