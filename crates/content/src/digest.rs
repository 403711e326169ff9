//! The SHA-256 digest that names a blob, a manifest or a config.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest as sha;

/// An OCI digest: `sha256:` and 64 lower-case hexadecimal characters.
///
/// Only SHA-256 is taken: it is what every registry stores (OCI image-spec, "descriptor", digests).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestParseError {
    /// The part before the colon is not `sha256`.
    #[error("the digest's algorithm is not sha256")]
    Algorithm,
    /// The part after the colon is not 64 lower-case hexadecimal characters.
    #[error("the digest is not `sha256:` and 64 lower-case hexadecimal characters")]
    Form,
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = BlobHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// A digest from its 32 raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal characters, without the algorithm.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix("sha256:").ok_or(DigestParseError::Algorithm)?;
        parse_hex32(encoded).map(Self).ok_or(DigestParseError::Form)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// 32 bytes from exactly 64 lower-case hexadecimal characters.
///
/// Upper case is refused: the specification allows one spelling only, and a second one would
/// give one blob two names.
pub(crate) fn parse_hex32(encoded: &str) -> Option<[u8; 32]> {
    let lower = encoded.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    let mut raw = [0; 32];
    (lower && hex::decode_to_slice(encoded, &mut raw).is_ok()).then_some(raw)
}

/// The single SHA-256 pass over a blob's bytes, in order.
#[derive(Clone)]
pub struct BlobHasher {
    context: sha::Context,
    hashed: u64,
}

impl BlobHasher {
    /// A pass that has seen no byte yet.
    #[must_use]
    pub fn new() -> Self {
        Self { context: sha::Context::new(&sha::SHA256), hashed: 0 }
    }

    /// Takes the blob's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.hashed += bytes.len() as u64;
    }

    /// How many bytes have been taken.
    #[must_use]
    pub const fn hashed(&self) -> u64 {
        self.hashed
    }

    /// The digest of all that was taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut raw = [0; 32];
        raw.copy_from_slice(self.context.finish().as_ref());
        Digest(raw)
    }
}

impl Default for BlobHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BlobHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobHasher").field("hashed", &self.hashed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_blob_has_its_well_known_name() {
        assert_eq!(
            Digest::of(b"").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn only_the_one_spelling_is_a_digest() {
        let good = Digest::of(b"x").to_string();
        assert_eq!(good.parse::<Digest>().map(|d| d.to_string()), Ok(good.clone()));
        let upper = good.to_uppercase().replace("SHA256", "sha256");
        for bad in [
            "",
            "sha256:",
            "sha256:../../etc/passwd",
            &good[..good.len() - 1],
            &format!("{good}0"),
            &upper,
            "sha512:00",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
