//! The id that a request keeps on its whole way: client, mirror, supernode, origin.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The HTTP header that carries a request's id.
pub const HEADER: &str = "x-request-id";

/// The longest id that is taken over from outside.
const LONGEST: usize = 64;

/// One request's id: our own 16 hex characters, or what the client sent if it is harmless.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Box<str>);

/// The text is not usable as a request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 1 to 64 characters out of A-Z a-z 0-9 _ -")]
pub struct BadRequestId;

impl RequestId {
    /// A new id: never given twice by this process, and hardly by two.
    #[must_use]
    pub fn fresh() -> Self {
        static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = SEED.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        Self(format!("{:016x}", scatter(number)).into())
    }

    /// The id that came with the request if it is usable, else a new one.
    #[must_use]
    pub fn accept(incoming: Option<&str>) -> Self {
        incoming.and_then(|text| text.parse().ok()).unwrap_or_else(Self::fresh)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Spreads neighbouring numbers over all of `u64`, one to one (the finaliser of `SplitMix64`), so
/// that the ids of one process are told apart at a glance.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl FromStr for RequestId {
    type Err = BadRequestId;

    fn from_str(text: &str) -> Result<Self, BadRequestId> {
        let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(harmless) {
            return Err(BadRequestId);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RequestId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn fresh_ids_are_sixteen_hex_characters_and_differ() {
        let ids: HashSet<RequestId> = (0..10_000).map(|_| RequestId::fresh()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in &ids {
            assert_eq!(id.as_str().len(), 16);
            assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn a_harmless_id_is_taken_over_and_another_is_replaced() {
        let longest = "a".repeat(64);
        for kept in ["a", "Trace_1-b", longest.as_str()] {
            assert_eq!(RequestId::accept(Some(kept)).as_str(), kept);
        }
        let too_long = "a".repeat(65);
        for replaced in ["", "a b", "a\nb", "\u{e9}", "a;b", too_long.as_str()] {
            assert_eq!(RequestId::accept(Some(replaced)).as_str().len(), 16);
        }
        assert_eq!(RequestId::accept(None).as_str().len(), 16);
    }
}
