//! The headers of one member in the making.

use tree::{Device, Meta};

use crate::header::BLOCK;

/// A member's headers in the making.
pub(crate) struct Draft<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) meta: &'a Meta,
    pub(crate) kind: u8,
    pub(crate) link: &'a [u8],
    pub(crate) size: u64,
    pub(crate) device: Device,
}

impl<'a> Draft<'a> {
    pub(crate) const fn new(path: &'a [u8], meta: &'a Meta, kind: u8) -> Self {
        let device = Device { major: 0, minor: 0 };
        Self { path, meta, kind, link: b"", size: 0, device }
    }

    pub(crate) const fn link(self, link: &'a [u8]) -> Self {
        Self { link, ..self }
    }

    /// The header, and a PAX header before it where it needs one.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut pax = Vec::new();
        let header = self.header(&mut pax);
        if pax.is_empty() {
            return header.to_vec();
        }
        let meta = Meta::default();
        let size = pax.len() as u64;
        let extension = Draft { size, ..Draft::new(b"././@PaxHeader", &meta, b'x') };
        let padded = pax.len().next_multiple_of(BLOCK);
        let mut bytes = extension.header(&mut Vec::new()).to_vec();
        pax.resize(padded, 0);
        bytes.append(&mut pax);
        bytes.extend(header);
        bytes
    }

    /// The POSIX header; what it has no room for goes to `pax`.
    fn header(&self, pax: &mut Vec<u8>) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        text(&mut block, 0..100, self.path, b"path", pax);
        octal(&mut block, 100..108, u64::from(self.meta.mode.bits()), b"", pax);
        // A hard link has no metadata of its own.
        let (uid, gid) = if self.kind == b'1' { (0, 0) } else { (self.meta.uid, self.meta.gid) };
        octal(&mut block, 108..116, u64::from(uid), b"uid", pax);
        octal(&mut block, 116..124, u64::from(gid), b"gid", pax);
        octal(&mut block, 124..136, self.size, b"size", pax);
        put(&mut block, 156..157, &[self.kind]);
        text(&mut block, 157..257, self.link, b"linkpath", pax);
        put(&mut block, 257..265, b"ustar\x0000");
        octal(&mut block, 329..337, u64::from(self.device.major), b"", pax);
        octal(&mut block, 337..345, u64::from(self.device.minor), b"", pax);
        if self.kind == b'1' {
            octal(&mut block, 136..148, 0, b"", pax);
        } else {
            self.time(&mut block, pax);
            self.xattrs(pax);
        }
        put(&mut block, 148..156, b"        ");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        put(&mut block, 148..156, format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn time(&self, block: &mut [u8; BLOCK], pax: &mut Vec<u8>) {
        let mtime = self.meta.mtime;
        match u64::try_from(mtime.seconds()) {
            Ok(seconds) if mtime.nanoseconds() == 0 => {
                octal(block, 136..148, seconds, b"mtime", pax)
            }
            _ => {
                octal(block, 136..148, 0, b"", pax);
                record(pax, b"mtime", decimal(mtime.seconds(), mtime.nanoseconds()).as_bytes());
            }
        }
    }

    fn xattrs(&self, pax: &mut Vec<u8>) {
        for (name, value) in &self.meta.xattrs {
            if name.contains(&b'=') {
                // No key can have it; bsdtar's way can.
                let value = base64::Engine::encode(
                    &base64::engine::general_purpose::STANDARD_NO_PAD,
                    value,
                );
                let name = percent_encoded(name);
                record(pax, &[b"LIBARCHIVE.xattr.", &name[..]].concat(), value.as_bytes());
            } else {
                record(pax, &[b"SCHILY.xattr.", &name[..]].concat(), value);
            }
        }
    }
}

/// A moment before 1970 is written as minus what is missing to it.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, rest) = (total.abs() / 1_000_000_000, total.abs() % 1_000_000_000);
    let text = format!("{sign}{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn percent_encoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in name {
        match byte {
            b'%' | b'=' => out.extend(format!("%{byte:02X}").bytes()),
            _ => out.push(*byte),
        }
    }
    out
}

fn put(block: &mut [u8; BLOCK], at: std::ops::Range<usize>, bytes: &[u8]) {
    for (to, from) in block.get_mut(at).into_iter().flatten().zip(bytes) {
        *to = *from;
    }
}

/// Puts `bytes` into a field, or under `key` if they are too long for it.
fn text(
    block: &mut [u8; BLOCK],
    at: std::ops::Range<usize>,
    bytes: &[u8],
    key: &[u8],
    pax: &mut Vec<u8>,
) {
    if bytes.len() > at.len() {
        record(pax, key, bytes);
    }
    put(block, at, bytes);
}

/// Puts a number into a field, or under `key` if it is too big for it.
fn octal(
    block: &mut [u8; BLOCK],
    at: std::ops::Range<usize>,
    number: u64,
    key: &[u8],
    pax: &mut Vec<u8>,
) {
    let digits = at.len().saturating_sub(1);
    let text = format!("{number:0digits$o}");
    if text.len() > digits {
        record(pax, key, number.to_string().as_bytes());
        put(block, at, "0".repeat(digits).as_bytes());
    } else {
        put(block, at, text.as_bytes());
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len().saturating_add(value.len()).saturating_add(3);
    let mut length = rest;
    loop {
        let counted = rest.saturating_add(length.to_string().len());
        if counted == length {
            break;
        }
        length = counted;
    }
    pax.extend_from_slice(length.to_string().as_bytes());
    pax.push(b' ');
    pax.extend_from_slice(key);
    pax.push(b'=');
    pax.extend_from_slice(value);
    pax.push(b'\n');
}
