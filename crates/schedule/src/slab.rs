//! A list with stable, reused indices, so that the hot paths index instead of hashing.

use std::marker::PhantomData;

/// An index into a [`Slab`] of `T`.
pub(crate) struct Key<T>(u32, PhantomData<fn() -> T>);

impl<T> Key<T> {
    /// Not above any key.
    pub(crate) const MIN: Self = Self(0, PhantomData);
    /// Not below any key.
    pub(crate) const MAX: Self = Self(u32::MAX, PhantomData);

    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

/// A list with stable, reused indices.
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), vacant: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key<T> {
        if let Some(number) = self.vacant.pop() {
            self.entries[number as usize] = Some(value);
            return Key(number, PhantomData);
        }
        let number = u32::try_from(self.entries.len()).expect("fewer than 2^32 nodes and tasks");
        self.entries.push(Some(value));
        Key(number, PhantomData)
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<T> {
        let value = self.entries.get_mut(key.0 as usize)?.take()?;
        self.vacant.push(key.0);
        Some(value)
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        self.entries.get(key.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        self.entries.get_mut(key.0 as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.entries.iter().zip(0u32..).filter_map(|(entry, number)| {
            let value = entry.as_ref()?;
            Some((Key(number, PhantomData), value))
        })
    }
}

impl<T> std::ops::Index<Key<T>> for Slab<T> {
    type Output = T;

    fn index(&self, key: Key<T>) -> &T {
        self.get(key).expect("a key that is kept names a live entry")
    }
}

impl<T> std::ops::IndexMut<Key<T>> for Slab<T> {
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        self.get_mut(key).expect("a key that is kept names a live entry")
    }
}

// Derived, these would ask the same of `T`.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Key<T> {}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> std::hash::Hash for Key<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u32(self.0);
    }
}
impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A hasher for [`Key`]s: they are small, dense and ours, so nobody can make them collide; and the
/// order of iteration is the same in every run.
#[derive(Clone, Copy, Default)]
pub(crate) struct KeyHasher(u64);

impl std::hash::Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // Fibonacci hashing: the golden ratio spreads neighbours over the whole table.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A map from [`Key`]s.
pub(crate) type KeyMap<T, V> =
    std::collections::HashMap<Key<T>, V, std::hash::BuildHasherDefault<KeyHasher>>;
