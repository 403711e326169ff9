//! Hostile and broken layers, as the program meets them: exit code 1, a message that says which
//! layer and why, and no image left behind.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use content::Digest;
use flate2::Compression;
use layer::MemberKind::{self, Directory, File, HardLink, Symlink};

use support::files::{Tar, text};
use support::{gzip, layout, scratch};

fn convert(at: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    command.args(["convert", "oci:in:v1", "oci:out:v1"]).args(more).current_dir(at);
    command.output().unwrap()
}

/// Converts an image whose last layer is refused because of `why`. `known` layers are good.
fn refused(known: &[Vec<u8>], bad: &[u8], why: &str) {
    let (_folder, path) = scratch();
    let layers = [known, &[bad.to_vec()]].concat();
    layout(&path.join("in"), &layers);
    told(&path, &Digest::of(bad), why);
}

/// The conversion fails as it should.
fn told(at: &Path, layer: &Digest, why: &str) {
    let output = convert(at, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{why}: {said}");
    assert!(said.contains(&layer.to_string()), "{why}: which layer? {said}");
    assert!(said.contains(why), "{why}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!at.join("out/index.json").exists(), "{why}: an image was left behind");
    let work = fs::read_dir(at.join("out/blobs/sha256")).unwrap();
    let made = work.map(|blob| fs::read(blob.unwrap().path()).unwrap());
    let manifests = made.filter(|bytes| bytes.starts_with(b"{")).count();
    assert_eq!(manifests, 0, "{why}: a manifest was left behind");
}

fn tar(members: &[(&str, MemberKind, &str)]) -> Vec<u8> {
    let put =
        |tar: Tar, (path, kind, link): &(&str, MemberKind, &str)| tar.put(path, *kind, link, b"");
    members.iter().fold(Tar::new(), put).done()
}

#[test]
fn paths_that_lead_out() {
    for (members, why) in [
        (&[("/etc/passwd", File, "")][..], "the path is absolute"),
        (&[("../out", File, "")], "a path has `..` in it"),
        (&[("a/../../out", File, "")], "a path has `..` in it"),
        (&[("a", HardLink, "../../etc/shadow")], "the hard link's target cannot be in the layer"),
        (&[("a", HardLink, "/etc/shadow")], "the hard link's target cannot be in the layer"),
        (&[("a", HardLink, "a")], "is a hard link to itself"),
        (&[("a", HardLink, "nowhere")], "hard-links /nowhere, and there is no such file"),
        (&[("d", Directory, ""), ("a", HardLink, "d")], "hard"),
        (&[("s", Symlink, "/etc"), ("s/x", File, "")], "through a symbolic link of the same layer"),
        (&[("s", Symlink, "s"), ("s/x", File, "")], "through a symbolic link of the same layer"),
        (&[("f", File, ""), ("f/x", File, "")], "f/x"),
        (&[(".wh.a/b", File, "")], "a directory has the name of a whiteout"),
        (&[(".wh...", File, "")], "a whiteout of what is no name"),
    ] {
        refused(&[], &gzip(&tar(members)), why);
    }
}

#[test]
fn links_of_lower_layers_lead_no_further_than_the_image() {
    // Upwards from the root is the root.
    let lower = gzip(&tar(&[("out", Symlink, "../../../../escaped"), ("round", Symlink, "round")]));
    let (_folder, path) = scratch();
    layout(&path.join("in"), &[lower.clone(), gzip(&tar(&[("out/x", File, "")]))]);
    let output = convert(&path, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = Command::new(env!("CARGO_BIN_EXE_image-builder"))
        .args(["ls", "-R", "oci:out:v1", "/"])
        .current_dir(&path)
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("escaped/x"), "{listed}");
    refused(
        std::slice::from_ref(&lower),
        &gzip(&tar(&[("round/x", File, "")])),
        "behind the symbolic link",
    );
    let file = gzip(&tar(&[("f", File, "")]));
    refused(&[file], &gzip(&tar(&[("f/x", File, "")])), "is not a directory under it");
}

/// One PAX record.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
    format!("{length} {key}={value}\n").into_bytes()
}

/// A header with this name, kind and size, and what follows it.
fn header(name: &str, kind: u8, size: &str, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size.as_bytes());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

/// A file `f` with an extended header before it, in a whole tar.
fn extended(records: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}", records.len());
    [header("x", b'x', &size, records), header("f", b'0', "00000000000", b""), vec![0; 1024]]
        .concat()
}

#[test]
fn sizes_that_are_tricks() {
    let terabytes = [record("GNU.sparse.size", "9000000000000"), record("GNU.sparse.map", "0,0")];
    for (records, why) in [
        (record("size", "-1"), "the value of size makes no sense"),
        (record("size", "99999999999999999999999"), "the value of size makes no sense"),
        (record("size", "18446744073709551615"), "an extended header makes no sense"),
        (b"99 path=x\n".to_vec(), "a record is not as long as it says"),
        (b"11 pathxxx\n".to_vec(), "a record is not KEY=VALUE"),
        (terabytes.concat(), "the layer holds more than 1099511627776 bytes"),
        (record("GNU.sparse.map", "0,18446744073709551615"), "f"),
    ] {
        refused(&[], &gzip(&extended(&records)), why);
    }
    // The size in the PAX header counts: what it covers are data and no members.
    let inner = header("smuggled", b'0', "00000000000", b"");
    let long = header("x", b'x', "00010000000", b"");
    refused(&[], &gzip(&long), "an extended header has 2097152 bytes");
    let link = [header("f", b'1', "00000001000", &inner), vec![0; 1024]].concat();
    refused(&[], &gzip(&link), "is no file and has data");
    let huge = [header("f", b'0', "77777777777", b""), vec![0; 1024]].concat();
    refused(&[], &gzip(&huge), "cut off");
}

/// So many zeros under gzip, as one file of a tar.
fn zeros(mebibytes: usize) -> Vec<u8> {
    let size = format!("{:011o}", mebibytes << 20);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&header("zeros", b'0', &size, b"")).unwrap();
    let part = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        gzip.write_all(&part).unwrap();
    }
    gzip.write_all(&[0; 1024]).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn bombs() {
    let bomb = zeros(300);
    refused(&[], &bomb, "become more than 200 times as many");
    // As a member of a few bytes under another one: the ratio is that of all together.
    let nested = [gzip(&header("a", b'0', "00000000000", b"")), bomb].concat();
    refused(&[], &nested, "become more than 200 times as many");
    let folder = tempfile::tempdir().unwrap();
    let plain = fs::File::create(folder.path().join("zeros")).unwrap();
    (&plain).write_all(&header("zeros", b'0', &format!("{:011o}", 300 << 20), b"")).unwrap();
    plain.set_len((300 << 20) + 1536).unwrap();
    let zstd = Command::new("zstd").args(["-q", "-c", "zeros"]).current_dir(&folder).output();
    refused(&[], &zstd.expect("zstd").stdout, "become more than 200 times as many");
}

#[test]
fn layers_that_are_cut_off_or_changed() {
    let plain = Tar::new().file("a", &text(1, 30_000)).file("b", &text(2, 3000)).done();
    for good in [gzip(&plain), plain.clone()] {
        let digest = Digest::of(&good);
        let (_folder, path) = scratch();
        layout(&path.join("in"), std::slice::from_ref(&good));
        let blob = path.join("in/blobs/sha256").join(digest.to_hex());
        // Against its digest, anything is found.
        for at in [0, 5, 600, good.len() / 2, good.len() - 1] {
            fs::write(&blob, &good[..at]).unwrap();
            told(&path, &digest, "");
            let mut flipped = good.clone();
            flipped[at] ^= 0x20;
            fs::write(&blob, &flipped).unwrap();
            told(&path, &digest, "");
        }
        fs::write(&blob, [&good[..], b"more"].concat()).unwrap();
        told(&path, &digest, "");
        fs::remove_file(&blob).unwrap();
        told(&path, &digest, "");
    }
    // With a digest of its own, what is cut off is found by its form, what is changed by gzip.
    let good = gzip(&plain);
    for length in [1, 10, 100, good.len() / 2, good.len() - 9, good.len() - 1] {
        refused(&[], &good[..length], "");
    }
    for at in [0, 1, good.len() / 2, good.len() - 8, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[at] ^= 0x20;
        refused(&[], &flipped, "");
    }
    // Within a header, an extended one's records, a file; an archive's end may be missing.
    for length in [0, 511, 512, 520, 20_000, plain.len() - 2024] {
        refused(&[], &plain[..length], "cut off");
    }
    refused(&[], &plain[..1024], "there are extended headers that do not belong to one file");
    refused(&[], b"#!/bin/sh\necho this is no layer\n", "");
}

/// A good layer beside a bad one: neither stays, whichever is done first.
#[test]
fn one_bad_layer_among_good_ones() {
    let good: Vec<_> =
        (0..4).map(|n| gzip(&Tar::new().file("a", &text(n, 400_000)).done())).collect();
    refused(&good, &gzip(&tar(&[("../x", File, "")])), "`..`");
    let (_folder, path) = scratch();
    let bad = gzip(&tar(&[("/x", File, "")]));
    layout(&path.join("in"), &[std::slice::from_ref(&bad), &good[..]].concat());
    told(&path, &Digest::of(&bad), "absolute");
    // What is refused leaves what was there before.
    layout(&path.join("in"), &good);
    assert!(convert(&path, &[]).status.success());
    let before = fs::read(path.join("out/index.json")).unwrap();
    layout(&path.join("in"), &[&good[..], &[bad]].concat());
    assert_eq!(convert(&path, &[]).status.code(), Some(1));
    assert_eq!(fs::read(path.join("out/index.json")).unwrap(), before);
    assert!(convert(&path, &["--absolute-paths"]).status.success());
}
