//! One member of a tar, as its headers say it.

use tree::{Device, Meta, Mode, Time};

use crate::data::Extent;
use crate::error::{TarError, printable};
use crate::header::Header;
use crate::pax::Pax;

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; [`Member::link`] is its target.
    Symlink,
    /// One more name of the member at [`Member::link`].
    HardLink,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

/// One member, without its data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its path as it stands there.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Where a link points.
    pub link: Vec<u8>,
    /// Mode, owner, time, extended attributes.
    pub meta: Meta,
    /// Bytes of a regular file, holes among them.
    pub size: u64,
    /// Where a regular file has data.
    pub extents: Vec<Extent>,
}

/// What the header says that it is.
pub(crate) fn kind(header: &Header, path: &[u8]) -> Result<MemberKind, TarError> {
    let device = || {
        // What Linux has room for: 12 and 20 bits.
        let (major, minor) = header.device()?;
        let major = u32::try_from(major).ok().filter(|major| *major < 1 << 12)?;
        let minor = u32::try_from(minor).ok().filter(|minor| *minor < 1 << 20)?;
        Some(Device { major, minor })
    };
    let device = || device().ok_or_else(|| field(path, "device number"));
    Ok(match header.kind() {
        // Before POSIX, directories were files whose name ends so.
        0 if path.ends_with(b"/") => MemberKind::Directory,
        0 | b'0' | b'7' | b'S' => MemberKind::File,
        b'1' => MemberKind::HardLink,
        b'2' => MemberKind::Symlink,
        b'3' => MemberKind::CharDevice(device()?),
        b'4' => MemberKind::BlockDevice(device()?),
        b'5' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        kind => {
            return Err(TarError::UnknownKind { path: printable(path), kind: char::from(kind) });
        }
    })
}

/// Mode, owner, time and attributes.
pub(crate) fn meta(header: &Header, pax: &mut Pax, path: &[u8]) -> Result<Meta, TarError> {
    let mode = header.mode().ok_or_else(|| field(path, "mode"))?;
    // The kernel takes the highest number for "leave it".
    let id =
        |told: Option<u64>| told.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
    let uid = id(pax.uid.or_else(|| header.uid())).ok_or_else(|| field(path, "owner"))?;
    let gid = id(pax.gid.or_else(|| header.gid())).ok_or_else(|| field(path, "group"))?;
    let whole = || header.mtime().and_then(|seconds| Time::new(seconds, 0));
    let mtime = pax.mtime.or_else(whole).ok_or_else(|| field(path, "time"))?;
    let mode = Mode::new(u16::try_from(mode & 0o7777).unwrap_or_default());
    Ok(Meta { mode, uid, gid, mtime, xattrs: std::mem::take(&mut pax.xattrs) })
}

/// The error that a field makes no sense.
pub(crate) fn field(path: &[u8], field: &'static str) -> TarError {
    TarError::Field { path: printable(path), field }
}
