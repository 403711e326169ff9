//! What is known of a file beside its kind and content.

use std::collections::BTreeMap;
use std::fmt;

/// Permissions with the set-user-id, set-group-id and sticky bits: the low twelve bits of
/// `st_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mode(u16);

impl Mode {
    /// What a directory has that nobody described: `rwxr-xr-x`.
    pub const IMPLIED: Self = Self(0o755);
    /// What Linux says of every symbolic link.
    pub const SYMLINK: Self = Self(0o777);

    /// The mode in the low twelve bits; higher ones, which say the file's type, are dropped.
    #[must_use]
    pub const fn new(bits: u16) -> Self {
        Self(bits & 0o7777)
    }

    /// The twelve bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A moment: seconds since 1970 began, before it if negative, and nanoseconds that are added.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Time {
    seconds: i64,
    nanoseconds: u32,
}

impl Time {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self { seconds: 0, nanoseconds: 0 };

    /// The moment `nanoseconds` after `seconds`; `None` unless they are less than a second.
    #[must_use]
    pub const fn new(seconds: i64, nanoseconds: u32) -> Option<Self> {
        if nanoseconds < 1_000_000_000 { Some(Self { seconds, nanoseconds }) } else { None }
    }

    /// Whole seconds since 1970 began, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after them, less than 1 000 000 000.
    #[must_use]
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }
}

/// What is known of a file beside its kind and content.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Meta {
    /// Permissions.
    pub mode: Mode,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// When its content last changed.
    pub mtime: Time,
    /// Extended attributes by full name (`security.capability`), with their values.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Meta {
    /// What a directory has that a layer only implies: 0755, root's, without a time. Both containerd
    /// and umoci make it so; the time, which they take from the clock, is the epoch here, so that
    /// the same layer always makes the same tree.
    #[must_use]
    pub fn implied() -> Self {
        Self { mode: Mode::IMPLIED, ..Self::default() }
    }
}
