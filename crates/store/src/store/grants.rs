//! Small values that end, kept for the caller: what clients were granted.

use super::Store;
use crate::error::StoreError;
use crate::index;

impl Store {
    /// Keeps a small value until `expires_unix` (Unix seconds): what a client was granted.
    ///
    /// # Errors
    /// If it is too large, or the index refuses.
    pub fn put_grant(&self, key: &[u8], value: &[u8], expires_unix: u64) -> Result<(), StoreError> {
        let bytes = key.len() + value.len();
        if bytes > index::MAX_VALUE {
            return Err(StoreError::TooLarge { bytes });
        }
        let index = &self.inner.shared.index;
        Ok(index.put_grant(key, value, expires_unix)?)
    }

    /// A grant that has not ended at `now_unix`. An index that cannot be read has none.
    #[must_use]
    pub fn grant(&self, key: &[u8], now_unix: u64) -> Option<Vec<u8>> {
        let found = self.inner.shared.index.grant(key, now_unix);
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a kept grant cannot be read");
            None
        })
    }
}
