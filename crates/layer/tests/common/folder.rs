//! A folder with one of everything.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

/// Makes it under `top`, as root. `posix` adds what only PAX headers can say.
pub(crate) fn make(top: &Path, posix: bool) {
    let at = |name: &str| top.join(name);
    fs::create_dir_all(at("etc/deep/er/and/deeper")).unwrap();
    fs::write(at("etc/file"), b"some content\n").unwrap();
    fs::write(at("etc/empty"), b"").unwrap();
    fs::write(at("etc/block"), vec![7; 512]).unwrap();
    fs::write(at("etc/big"), (0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
        .unwrap();
    fs::hard_link(at("etc/file"), at("a-hard-link")).unwrap();
    fs::hard_link(at("etc/file"), at("etc/deep/z-hard-link")).unwrap();
    symlink("etc/file", at("relative")).unwrap();
    symlink("/etc/../../../out", at("outward")).unwrap();
    fs::hard_link(at("relative"), at("relative-too")).unwrap();
    let node = |name: &str, kind, dev| {
        rustix::fs::mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o640), dev).unwrap();
    };
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("loop", FileType::BlockDevice, rustix::fs::makedev(7, 300));
    node("pipe", FileType::Fifo, 0);
    fs::write(top.join(OsStr::from_bytes(b"caf\xe9 \xff\xfe\n\t\\")), b"not UTF-8").unwrap();
    let long = "long-".repeat(40);
    fs::create_dir_all(at(&format!("{long}/{long}"))).unwrap();
    fs::write(at(&format!("{long}/{long}/file")), b"far").unwrap();
    symlink(format!("{long}/{long}/file"), at("to-far")).unwrap();
    fs::hard_link(at(&format!("{long}/{long}/file")), at(&format!("{long}/again"))).unwrap();
    // 99, 100 and 101 bytes: where names leave the header.
    for length in [99, 100, 101] {
        fs::write(at(&"n".repeat(length)), length.to_string()).unwrap();
    }
    let sparse = File::create(at("sparse")).unwrap();
    for number in 0..40 {
        sparse.write_all_at(&[b'x'; 5000], number * 100_000).unwrap();
    }
    sparse.set_len(9 << 20).unwrap();
    File::create(at("only-a-hole")).unwrap().set_len(1 << 20).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("etc/big", 0o4755);
    mode("etc/block", 0o2750);
    mode("etc/deep", 0o1777);
    own(&at("etc/block"), 12345, 54321);
    own(&at("relative"), 1, 2);
    if posix {
        own(&at("etc/empty"), 4_000_000_000, 3_000_000_000);
        let set = |name: &str, key: &str, value: &[u8]| {
            rustix::fs::lsetxattr(at(name), key, value, XattrFlags::empty()).unwrap();
        };
        set("etc/file", "user.text", b"value with = and\nnewline");
        set("etc/file", "user.empty", b"");
        set("etc", "user.directory", b"\0\x01\xff");
        set("etc/big", "trusted.x", b"root only");
        // cap_net_raw=ep, version 2.
        set("etc/big", "security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
    times(top, posix);
}

fn own(path: &Path, uid: u32, gid: u32) {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
        .unwrap();
}

/// Gives everything a time of its own, the innermost first, because that changes those above.
fn times(top: &Path, posix: bool) {
    let mut paths = vec![top.to_owned()];
    let mut at = 0;
    while let Some(path) = paths.get(at).cloned() {
        at += 1;
        if path.symlink_metadata().unwrap().is_dir() {
            let mut inner: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            inner.sort();
            paths.extend(inner);
        }
    }
    for (number, path) in paths.iter().enumerate().rev() {
        let number = i64::try_from(number).unwrap();
        let nanoseconds = if posix { number * 1_000_003 + 1 } else { 0 };
        let time = Timespec { tv_sec: 1_600_000_000 + number, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}
