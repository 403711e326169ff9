//! What an operator may choose about a store.

use std::path::PathBuf;

use crate::error::OpenError;

/// Where a store is and how much it may hold.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The folder; it is made if it is missing. The store alone writes in it.
    pub dir: PathBuf,
    /// The most bytes that all tasks may hold; 0: what the file system has free, and what the store
    /// holds already, less the reserve.
    pub quota_bytes: u64,
    /// Above so many percent of the quota, tasks are evicted …
    pub high_percent: u8,
    /// … until so many percent are left.
    pub low_percent: u8,
    /// So many bytes of the file system stay free for others; `None`: a twentieth of it, at most
    /// 10 GiB.
    pub reserve_bytes: Option<u64>,
}

impl StoreConfig {
    /// A store in `dir` that takes what the file system has: evicts above 90 %, down to 80 %.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            quota_bytes: 0,
            high_percent: 90,
            low_percent: 80,
            reserve_bytes: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let why = if self.high_percent > 100 || self.high_percent == 0 {
            "the high watermark must be from 1 to 100 percent"
        } else if self.low_percent > self.high_percent {
            "the low watermark must not be above the high one"
        } else {
            return Ok(());
        };
        Err(OpenError::Config { why })
    }
}

/// The most bytes that tasks may hold, and the watermarks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    pub(crate) quota: u64,
    pub(crate) high: u64,
    pub(crate) low: u64,
    pub(crate) reserve: u64,
}

/// The most of a file system that is left free for others, unless the operator says more.
const MAX_RESERVE: u64 = 10 << 30;

impl Limits {
    /// From what the operator chose, what the file system has (`free` of `size` bytes), and what
    /// the store holds already.
    pub(crate) fn of(config: &StoreConfig, size: u64, free: u64, held: u64) -> Self {
        let reserve = config.reserve_bytes.unwrap_or_else(|| (size / 20).min(MAX_RESERVE));
        let quota = match config.quota_bytes {
            0 => free.saturating_add(held).saturating_sub(reserve),
            chosen => chosen,
        };
        let part = |percent: u8| quota / 100 * u64::from(percent);
        Self { quota, high: part(config.high_percent), low: part(config.low_percent), reserve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_comes_from_the_file_system_unless_it_is_chosen() {
        let mut config = StoreConfig::new("x");
        let limits = Limits::of(&config, 1000, 500, 100);
        assert_eq!((limits.reserve, limits.quota), (50, 550));
        config.quota_bytes = 200;
        config.reserve_bytes = Some(0);
        let limits = Limits::of(&config, 1000, 500, 100);
        assert_eq!((limits.quota, limits.high, limits.low), (200, 180, 160));
    }

    #[test]
    fn watermarks_are_checked() {
        let with = |high_percent, low_percent| StoreConfig {
            high_percent,
            low_percent,
            ..StoreConfig::new("x")
        };
        assert!(with(90, 80).check().is_ok());
        assert!(with(90, 90).check().is_ok());
        assert!(with(101, 80).check().is_err());
        assert!(with(0, 0).check().is_err());
        assert!(with(80, 90).check().is_err());
    }
}
