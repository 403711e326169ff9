//! Layers whose files are of every kind.

use layer::{Member, MemberKind, TarWriter};
pub(crate) use testbed::text;
use tree::{Device, Meta, Mode, Time};

/// A tar that is being put together.
#[derive(Debug)]
pub(crate) struct Tar(TarWriter<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(TarWriter::new(Vec::new()))
    }

    /// A member of this kind.
    pub(crate) fn put(mut self, path: &str, kind: MemberKind, link: &str, bytes: &[u8]) -> Self {
        let mode = if kind == MemberKind::Directory { 0o755 } else { 0o644 };
        let meta = Meta {
            mode: Mode::new(mode),
            uid: 100_000,
            gid: 7,
            mtime: Time::new(1_700_000_000, 123_456_789).unwrap(),
            ..Meta::default()
        };
        let (path, link) = (path.into(), link.into());
        let member =
            Member { path, kind, link, meta, size: bytes.len() as u64, extents: Vec::new() };
        self.0.append(&member, |out| out.write_all(bytes)).unwrap();
        self
    }

    pub(crate) fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.put(path, MemberKind::File, "", bytes)
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }
}

/// A layer with every kind of file, and one upon it that hides, links and replaces.
pub(crate) fn every_kind() -> Vec<Vec<u8>> {
    let big = text(1, 2_500_000);
    let lower = Tar::new()
        .put("etc", MemberKind::Directory, "", b"")
        .file("etc/a", b"small")
        .file("etc/empty", b"")
        .file("big", &big)
        .file("same", &big)
        .put("hard", MemberKind::HardLink, "big", b"")
        .put("lib", MemberKind::Symlink, "usr/lib", b"")
        .file("usr/lib/x", &text(2, 5000))
        .put("null", MemberKind::CharDevice(Device { major: 1, minor: 3 }), "", b"")
        .put("loop", MemberKind::BlockDevice(Device { major: 7, minor: 1000 }), "", b"")
        .put("pipe", MemberKind::Fifo, "", b"")
        .file("old/one", b"1")
        .file("old/two", b"2")
        .done();
    let upper = Tar::new()
        .file(".wh.same", b"")
        .file("old/.wh..wh..opq", b"")
        .file("old/three", b"3")
        .file("lib/y", &text(2, 5000))
        .put("again", MemberKind::HardLink, "big", b"")
        .file("etc/a", b"small, but other")
        .done();
    vec![lower, upper]
}
