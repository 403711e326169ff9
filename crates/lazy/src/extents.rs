//! Extents of a file by their first block, in little memory: 12 bytes each where they lie close
//! together, as the small files of an image do.
//!
//! They are kept in groups by where they begin, each a sorted list. A map entry for each would take
//! five times as much, and images have a hundred thousand.

use std::collections::BTreeMap;
use std::ops::Range;

/// Extents that begin within so many blocks are in one group: 2 MiB.
const GROUP: u64 = 1 << GROUP_BITS;
const GROUP_BITS: u32 = 9;

/// Bits of an extent's length in blocks.
const LENGTH_BITS: u32 = 20;

/// One extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    /// Beyond its last block.
    pub(crate) end: u64,
    /// What it was entered with.
    pub(crate) print: u64,
    pub(crate) settled: bool,
}

/// Extents that do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    groups: BTreeMap<u64, Group>,
    count: usize,
}

/// Where each begins, how long it is, and whether it is settled, in one number each; and the prints.
#[derive(Debug, Default)]
struct Group {
    places: Vec<u32>,
    prints: Vec<u64>,
}

impl Extents {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// The one that begins at block `at`.
    pub(crate) fn get(&self, at: u64) -> Option<Extent> {
        let group = self.groups.get(&(at / GROUP))?;
        group.extent(at / GROUP, group.find(at).ok()?).map(|(_, extent)| extent)
    }

    /// Enters one, or changes the one that begins there. False if it is longer than an extent can
    /// be, 4 GiB.
    pub(crate) fn insert(&mut self, at: u64, extent: Extent) -> bool {
        let length = extent.end.saturating_sub(at);
        let Some(length) = u32::try_from(length).ok().filter(|length| length >> LENGTH_BITS == 0)
        else {
            return false;
        };
        let place = start(at) << (LENGTH_BITS + 1) | length << 1 | u32::from(extent.settled);
        let group = self.groups.entry(at / GROUP).or_default();
        match group.find(at) {
            Ok(there) => {
                if let Some(place_there) = group.places.get_mut(there) {
                    *place_there = place;
                }
                if let Some(print) = group.prints.get_mut(there) {
                    *print = extent.print;
                }
            }
            Err(before) => {
                group.places.insert(before, place);
                group.prints.insert(before, extent.print);
                self.count = self.count.saturating_add(1);
            }
        }
        true
    }

    /// Takes out the one that begins at block `at`.
    pub(crate) fn remove(&mut self, at: u64) {
        let number = at / GROUP;
        let Some(group) = self.groups.get_mut(&number) else { return };
        if let Ok(there) = group.find(at) {
            group.places.remove(there);
            group.prints.remove(there);
            self.count = self.count.saturating_sub(1);
        }
        if group.places.is_empty() {
            self.groups.remove(&number);
        }
    }

    /// Those that share a block with `blocks`, by where they begin.
    pub(crate) fn overlapping(&self, blocks: &Range<u64>) -> impl Iterator<Item = (u64, Extent)> {
        let (begin, end) = (blocks.start, blocks.end);
        let groups = begin / GROUP..=end.saturating_sub(1) / GROUP;
        let within = self.groups.range(groups).flat_map(move |(number, group)| {
            let first = if *number == begin / GROUP { group.before(begin) } else { 0 };
            (first..group.places.len()).filter_map(move |there| group.extent(*number, there))
        });
        let before = self.before(begin).filter(move |(_, extent)| extent.end > begin);
        before.into_iter().chain(within.take_while(move |(at, _)| *at < end))
    }

    /// The last that begins before block `at`.
    fn before(&self, at: u64) -> Option<(u64, Extent)> {
        let number = at / GROUP;
        let here = self.groups.get(&number).map(|group| (number, group, group.before(at)));
        here.filter(|(_, _, count)| *count > 0)
            .or_else(|| {
                let (number, group) = self.groups.range(..number).next_back()?;
                Some((*number, group, group.places.len()))
            })
            .and_then(|(number, group, count)| group.extent(number, count.checked_sub(1)?))
    }
}

/// Where in its group a block lies.
fn start(at: u64) -> u32 {
    u32::try_from(at % GROUP).unwrap_or_default()
}

impl Group {
    /// How many begin before block `at`, which lies in the group.
    fn before(&self, at: u64) -> usize {
        self.places.partition_point(|place| place >> (LENGTH_BITS + 1) < start(at))
    }

    /// Which one begins at block `at`, or where it would be.
    fn find(&self, at: u64) -> Result<usize, usize> {
        self.places.binary_search_by_key(&start(at), |place| place >> (LENGTH_BITS + 1))
    }

    fn extent(&self, number: u64, there: usize) -> Option<(u64, Extent)> {
        let (place, print) = (*self.places.get(there)?, *self.prints.get(there)?);
        let at = number.checked_mul(GROUP)?.checked_add(u64::from(place >> (LENGTH_BITS + 1)))?;
        let length = place >> 1 & ((1 << LENGTH_BITS) - 1);
        let end = at.checked_add(u64::from(length))?;
        Some((at, Extent { end, print, settled: place & 1 == 1 }))
    }
}
