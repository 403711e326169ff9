//! What is prefetched of a mount's image.

use lazy::Extent;
use serde::{Deserialize, Serialize};

/// How much of an image is prefetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Nothing
    None,
    /// What the image's own list names, if whoever made it named anything
    #[default]
    Listed,
    /// That first, then all the rest: until the node needs the registry no more
    All,
}

/// How a mount's image is prefetched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrefetchOrder {
    /// How much of it.
    pub what: What,
    /// How many bytes a second at most, as they are stored, together with all mounts of the process that
    /// say the same; 0 for as many as come.
    pub rate: u64,
    /// By how many threads: so many requests at one time. At least one.
    pub threads: usize,
    /// Paths in the image that come before its own list. Who is asked for a mount by an
    /// [`crate::orders::Order`] is not told any.
    #[serde(skip)]
    pub first: Vec<Vec<u8>>,
}

impl Default for PrefetchOrder {
    fn default() -> Self {
        Self { what: What::default(), rate: 0, threads: Self::THREADS, first: Vec::new() }
    }
}

impl PrefetchOrder {
    /// Enough to have one request on its way while another's bytes are checked.
    pub const THREADS: usize = 2;

    /// How far a plan goes; `None` if nothing is wanted.
    #[must_use]
    pub const fn extent(&self) -> Option<Extent> {
        match self.what {
            What::None => None,
            What::Listed => Some(Extent::Listed),
            What::All => Some(Extent::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default() {
        let read = |json: &str| serde_json::from_str::<PrefetchOrder>(json).unwrap();
        assert_eq!(read("{}"), PrefetchOrder::default());
        let all = read(r#"{"what": "all", "rate": 7}"#);
        assert_eq!((all.what, all.rate, all.threads), (What::All, 7, PrefetchOrder::THREADS));
        assert_eq!(all.extent(), Some(Extent::All));
        assert_eq!(read(r#"{"what": "none"}"#).extent(), None);
    }
}
