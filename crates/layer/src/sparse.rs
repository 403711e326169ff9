//! Where a sparse file has data: the maps of GNU's formats.

use crate::number;
use crate::pax;

/// Data in a file: from `offset`, `length` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// More extents than any file system cuts a file into: 16 MiB of map.
pub const MAX_EXTENTS: usize = 1 << 20;

/// Extents in binary headers: of 24 bytes each two numbers. Those that are all NUL are not there.
#[must_use]
pub fn parse_fields(fields: &[u8]) -> Option<Vec<Extent>> {
    let (fields, _) = fields.as_chunks::<24>();
    let used = fields.iter().take_while(|field| field[0] != 0);
    used.map(|field| {
        let (offset, length) = field.split_at_checked(12)?;
        let offset = number::parse_unsigned(offset)?;
        Some(Extent { offset, length: number::parse_unsigned(length)? })
    })
    .collect()
}

/// Extents as format 0.1 has them: `OFFSET,LENGTH,OFFSET,LENGTH…`.
#[must_use]
pub fn parse_list(value: &[u8]) -> Option<Vec<Extent>> {
    let mut numbers = value.split(|byte| *byte == b',').map(|part| pax::number(part).flatten());
    let mut extents = Vec::new();
    while let Some(offset) = numbers.next() {
        extents.push(Extent { offset: offset?, length: numbers.next()?? });
    }
    Some(extents)
}

/// Extents as format 1.0 has them before the data: how many, then offsets and lengths, each on a
/// line; told number by number, because they end where they say.
#[derive(Debug, Default)]
pub struct Lines {
    count: Option<u64>,
    offset: Option<u64>,
    number: Option<u64>,
    extents: Vec<Extent>,
}

impl Lines {
    /// Takes the next byte: the map, once it is complete. `None` if that cannot be in a map.
    pub fn take(&mut self, byte: u8) -> Option<Option<Vec<Extent>>> {
        if byte.is_ascii_digit() {
            let number = self.number.unwrap_or(0).checked_mul(10)?;
            self.number = Some(number.checked_add(u64::from(byte & 15))?);
            return Some(None);
        }
        let number = self.number.take().filter(|_| byte == b'\n')?;
        let Some(count) = self.count else {
            usize::try_from(number).ok().filter(|count| *count <= MAX_EXTENTS)?;
            self.count = Some(number);
            return Some((number == 0).then(Vec::new));
        };
        let Some(offset) = self.offset.take() else {
            self.offset = Some(number);
            return Some(None);
        };
        self.extents.push(Extent { offset, length: number });
        let done = self.extents.len() as u64 == count;
        Some(done.then(|| std::mem::take(&mut self.extents)))
    }
}

/// Whether the map fits: sorted, nothing twice, all within `size`, and `stored` bytes in all.
#[must_use]
pub fn fits(extents: &[Extent], size: u64, stored: u64) -> bool {
    let end = extents.iter().try_fold((0_u64, 0_u64), |(end, sum), extent| {
        let next = extent.offset.checked_add(extent.length)?;
        (extent.offset >= end).then_some((next, sum.checked_add(extent.length)?))
    });
    extents.len() <= MAX_EXTENTS
        && end.is_some_and(|(end, sum)| end <= size && sum == stored)
        && i64::try_from(size).is_ok()
}
