//! Layers whose files are of every kind.

use layer::{Member, MemberKind, TarWriter};
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

/// Bytes that compress somewhat, other ones for each `seed`.
pub(crate) fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(format!("{:x} is here; ", state >> 40).as_bytes());
    }
    out.truncate(length);
    out
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
