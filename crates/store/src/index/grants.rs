//! Small values that end: what clients were granted.

use super::Index;
use crate::error::IndexError;

impl Index {
    pub(crate) fn put_grant(&self, key: &[u8], value: &[u8], ends: u64) -> Result<(), IndexError> {
        let entry = [&ends.to_be_bytes(), value].concat();
        self.with(|trees| Ok(trees.grants.insert(key, entry).map(|_| ())?))
    }

    pub(crate) fn grant(&self, key: &[u8], now: u64) -> Result<Option<Vec<u8>>, IndexError> {
        self.with(|trees| {
            let entry = trees.grants.get(key)?;
            Ok(entry.and_then(|entry| live_grant(&entry, now).map(<[u8]>::to_vec)))
        })
    }

    /// Removes the grants that have ended; says how many.
    pub(crate) fn sweep_grants(&self, now: u64) -> Result<u64, IndexError> {
        self.with(|trees| {
            let mut swept = 0;
            for entry in &trees.grants {
                let (key, value) = entry?;
                if live_grant(&value, now).is_none() {
                    trees.grants.remove(key)?;
                    swept += 1;
                }
            }
            Ok(swept)
        })
    }
}

fn live_grant(entry: &[u8], now: u64) -> Option<&[u8]> {
    let (ends, value) = entry.split_first_chunk()?;
    (u64::from_be_bytes(*ends) > now).then_some(value)
}
