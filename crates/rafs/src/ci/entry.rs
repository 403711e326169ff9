//! One entry of the compression info, in its two forms.

use zerocopy::byteorder::little_endian::U64;

use crate::ondisk::BLOCK;
use crate::ondisk::meta::{EntryV1, EntryV2, v1, v2};

/// What compression info says of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it lies in the blob, uncompressed, in bytes.
    pub uncompressed_offset: u64,
    /// Its length, in bytes: 1 to 16 MiB.
    pub uncompressed_size: u32,
    /// Where its bytes are.
    pub place: Place,
}

/// Where a chunk's bytes are in a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// By themselves.
    Alone {
        /// Where they begin, in bytes.
        offset: u64,
        /// Their length there, in bytes.
        size: u32,
        /// Whether they are compressed.
        compressed: bool,
    },
    /// In a batch.
    Batched {
        /// The batch's number.
        batch: u32,
        /// Where the batch begins, in bytes.
        offset: u64,
        /// Where the chunk begins in it, decompressed.
        at: u32,
    },
}

/// The lower 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "the mask leaves 32 bits")]
const fn low(bits: u64) -> u32 {
    (bits & 0xffff_ffff) as u32
}

/// A size less one from its two parts.
const fn v1_size(bits: u64, high_shift: u32) -> u32 {
    let high = (bits >> high_shift & v1::SIZE_HIGH_MASK) << v1::SIZE_LOW_BITS;
    low(bits >> v1::SIZE_LOW_SHIFT | high) + 1
}

/// The parts of a size less one.
const fn v1_size_bits(size: u32, high_shift: u32) -> u64 {
    let less = size.saturating_sub(1) as u64;
    (less & v1::SIZE_LOW_MASK) << v1::SIZE_LOW_SHIFT | less >> v1::SIZE_LOW_BITS << high_shift
}

impl Entry {
    pub(crate) const fn read_v1(raw: &EntryV1) -> Self {
        let (plain, stored) = (raw.uncompressed.get(), raw.compressed.get());
        let uncompressed_size = v1_size(plain, v1::SIZE_HIGH_SHIFT);
        let size = v1_size(stored, v1::COMPRESSED_SIZE_HIGH_SHIFT);
        let offset = stored & v1::COMPRESSED_OFFSET_MASK;
        Self {
            uncompressed_offset: plain & v1::OFFSET_MASK,
            uncompressed_size,
            place: Place::Alone { offset, size, compressed: size != uncompressed_size },
        }
    }

    /// `None` if it lies in a batch.
    pub(crate) const fn write_v1(&self) -> Option<EntryV1> {
        let Place::Alone { offset, size, .. } = self.place else { return None };
        let plain = self.uncompressed_offset & v1::OFFSET_MASK
            | v1_size_bits(self.uncompressed_size, v1::SIZE_HIGH_SHIFT);
        let stored = offset & v1::COMPRESSED_OFFSET_MASK
            | v1_size_bits(size, v1::COMPRESSED_SIZE_HIGH_SHIFT);
        Some(EntryV1 { uncompressed: U64::new(plain), compressed: U64::new(stored) })
    }

    /// `None` if a flag is unknown, or of a kind that is not read.
    pub(crate) const fn read_v2(raw: &EntryV2) -> Option<Self> {
        let (plain, stored, data) = (raw.uncompressed.get(), raw.compressed.get(), raw.data.get());
        let bits = plain >> v2::FLAGS_SHIFT;
        if bits & !v2::ALL != 0 || bits & (v2::ZRAN | v2::ENCRYPTED) != 0 {
            return None;
        }
        let offset = stored & v2::COMPRESSED_OFFSET_MASK;
        let size = low(stored >> v2::COMPRESSED_SIZE_SHIFT);
        let place = if bits & v2::BATCH != 0 {
            Place::Batched { batch: low(data >> v2::BATCH_SHIFT), offset, at: low(data) }
        } else {
            Place::Alone { offset, size, compressed: bits & v2::COMPRESSED != 0 }
        };
        Some(Self {
            uncompressed_offset: (plain & v2::OFFSET_MASK) * BLOCK,
            uncompressed_size: low(plain >> v2::SIZE_SHIFT & v2::SIZE_MASK) + 1,
            place,
        })
    }

    pub(crate) const fn write_v2(&self) -> EntryV2 {
        // `nydus-image` marks a chunk in a batch as compressed whether its batch is or not.
        let (offset, size, bits, data) = match self.place {
            Place::Alone { offset, size, compressed } => {
                (offset, size, if compressed { v2::COMPRESSED } else { 0 }, 0)
            }
            Place::Batched { batch, offset, at } => {
                let data = (batch as u64) << v2::BATCH_SHIFT | at as u64;
                (offset, 0, v2::BATCH | v2::COMPRESSED, data)
            }
        };
        let plain = (self.uncompressed_offset / BLOCK) & v2::OFFSET_MASK
            | (self.uncompressed_size.saturating_sub(1) as u64 & v2::SIZE_MASK) << v2::SIZE_SHIFT
            | bits << v2::FLAGS_SHIFT;
        let stored =
            offset & v2::COMPRESSED_OFFSET_MASK | (size as u64) << v2::COMPRESSED_SIZE_SHIFT;
        EntryV2 {
            uncompressed: U64::new(plain),
            compressed: U64::new(stored),
            data: U64::new(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_of_nydus_image_reads() {
        let raw = EntryV1 {
            uncompressed: U64::new(0x0422_2000_0000_0000),
            compressed: U64::new(0x012d_b000_0000_0000),
        };
        let entry = Entry::read_v1(&raw);
        assert_eq!((entry.uncompressed_offset, entry.uncompressed_size), (0, 16931));
        assert_eq!(entry.place, Place::Alone { offset: 0, size: 4828, compressed: true });
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            block in 0..1_u64 << 32, size in 1..=1_u32 << 24, offset in 0..1_u64 << 40,
            shorter in 0..1_u32 << 24, batch in any::<u32>(), at in any::<u32>(),
        ) {
            let size1 = size.saturating_sub(shorter).max(1);
            let alone = Entry {
                uncompressed_offset: block * BLOCK,
                uncompressed_size: size,
                place: Place::Alone { offset, size: size1, compressed: size1 != size },
            };
            let raw = alone.write_v1().expect("no batch");
            prop_assert_eq!(Entry::read_v1(&raw), alone);
            // The second form has a bit less for the compressed size.
            if size1 < 1 << 24 {
                prop_assert_eq!(Entry::read_v2(&alone.write_v2()), Some(alone));
            }
            let batched = Entry { place: Place::Batched { batch, offset, at }, ..alone };
            prop_assert_eq!(batched.write_v1().is_none(), true);
            prop_assert_eq!(Entry::read_v2(&batched.write_v2()), Some(batched));
        }
    }
}
