//! The 512 bytes before each member.
//!
//! ```text
//! 0    100 name          148   8 checksum       329   8 device major
//! 100    8 mode          156   1 type           337   8 device minor
//! 108    8 uid           157 100 link           345 155 prefix of the name (ustar)
//! 116    8 gid           257   8 magic, version
//! 124   12 size          265  32 user name      in GNU headers of sparse files, from 345 on:
//! 136   12 mtime         297  32 group name     386 4×24 extents, 482 more, 483 12 real size
//! ```

use crate::number;

/// Members begin at multiples of this many bytes.
pub const BLOCK: usize = 512;

/// One header.
#[derive(Clone, Copy)]
pub struct Header([u8; BLOCK]);

/// Who wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Before POSIX: no magic, no prefix, no devices.
    V7,
    /// POSIX.
    Ustar,
    /// Jörg Schilling's star: POSIX with times in the prefix's last bytes.
    Star,
    /// GNU, without a prefix.
    Gnu,
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Header({:?}, {})", self.dialect(), self.name().escape_ascii())
    }
}

impl Header {
    /// The header that a block is; `None` if its checksum is wrong.
    #[must_use]
    pub fn new(block: [u8; BLOCK]) -> Option<Self> {
        let header = Self(block);
        // The sum of all bytes, the checksum's own taken as spaces. Some old programs summed signed
        // bytes; Go and GNU tar take both.
        let mut unsigned = 0_i64;
        let mut signed = 0_i64;
        for (at, byte) in header.0.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        let told = number::parse(header.field::<148, 8>())?;
        (told == unsigned || told == signed).then_some(header)
    }

    fn field<const AT: usize, const LENGTH: usize>(&self) -> &[u8] {
        // Constants within the block: never empty.
        self.0.get(AT..AT.saturating_add(LENGTH)).unwrap_or_default()
    }

    /// Who wrote it.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match (self.field::<257, 8>(), self.field::<508, 4>()) {
            (b"ustar  \0", _) => Dialect::Gnu,
            ([b'u', b's', b't', b'a', b'r', 0, ..], b"tar\0") => Dialect::Star,
            ([b'u', b's', b't', b'a', b'r', 0, ..], _) => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    /// What the member is: POSIX's digits, or a letter of somebody's own.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.0[156]
    }

    /// The member's path, prefix and all.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let name = text(self.field::<0, 100>());
        let prefix = match self.dialect() {
            Dialect::Ustar => text(self.field::<345, 155>()),
            Dialect::Star => text(self.field::<345, 131>()),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    /// Where a link points.
    #[must_use]
    pub fn link(&self) -> &[u8] {
        text(self.field::<157, 100>())
    }

    /// Permissions, and whatever else some programs put there.
    #[must_use]
    pub fn mode(&self) -> Option<u64> {
        number::parse_unsigned(self.field::<100, 8>())
    }

    /// The owner.
    #[must_use]
    pub fn uid(&self) -> Option<u64> {
        number::parse_unsigned(self.field::<108, 8>())
    }

    /// The owning group.
    #[must_use]
    pub fn gid(&self) -> Option<u64> {
        number::parse_unsigned(self.field::<116, 8>())
    }

    /// How many bytes of data follow.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        number::parse_unsigned(self.field::<124, 12>())
    }

    /// When the content changed, in seconds since 1970.
    #[must_use]
    pub fn mtime(&self) -> Option<i64> {
        number::parse(self.field::<136, 12>())
    }

    /// A device's major and minor number.
    #[must_use]
    pub fn device(&self) -> Option<(u64, u64)> {
        if self.dialect() == Dialect::V7 {
            return Some((0, 0));
        }
        let major = number::parse_unsigned(self.field::<329, 8>())?;
        Some((major, number::parse_unsigned(self.field::<337, 8>())?))
    }

    /// In a GNU header of a sparse file: the first four extents, whether a block of more follows,
    /// and the file's size with its holes.
    #[must_use]
    pub fn sparse(&self) -> (&[u8], bool, Option<u64>) {
        let more = self.field::<482, 1>() != [0];
        (self.field::<386, 96>(), more, number::parse_unsigned(self.field::<483, 12>()))
    }
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
