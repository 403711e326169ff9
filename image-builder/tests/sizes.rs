//! Much of something: a file over 4 GiB, a directory of a hundred thousand files; and how much
//! memory that takes.
//!
//! `make soak` makes it a million files.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod model;
mod support;
mod trees;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use layer::{MemberKind, TarWriter};
use model::tar::{Dialect, write};
use model::{Member, Sparse, What};
use serde_json::Value;
use support::scratch;
use tree::{Meta, Mode};

/// What a run took.
struct Took {
    stdout: Vec<u8>,
    /// The most anonymous memory that was seen, in bytes.
    memory: u64,
    time: Duration,
}

/// Bytes of anonymous memory that a process has, as long as it is there.
fn anonymous(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Runs the program, and watches its memory.
fn builder(args: &[&str], at: &Path) -> Took {
    let begin = Instant::now();
    let out = File::create(at.join("stdout")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_image-builder"))
        .args(args)
        .current_dir(at)
        .stdout(Stdio::from(out))
        .stderr(Stdio::from(File::create(at.join("stderr")).unwrap()))
        .spawn()
        .unwrap();
    let mut memory = 0;
    let status = loop {
        memory = memory.max(anonymous(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let said = fs::read_to_string(at.join("stderr")).unwrap();
    assert!(status.success(), "{args:?}: {said}");
    assert!(memory > 0, "{args:?}: its memory was not seen");
    let took = Took { stdout: fs::read(at.join("stdout")).unwrap(), memory, time: begin.elapsed() };
    println!("{args:?}: {} MiB of anonymous memory, {:?}", memory >> 20, took.time);
    took
}

/// Writes an OCI layout whose image has this one layer, a file that is not compressed.
fn layout(at: &Path, tar: &Path) {
    let layer = fs::read(tar).unwrap();
    support::layout(&at.join("in"), &[layer]);
}

#[test]
fn a_file_over_four_gibibytes() {
    let (_folder, at) = scratch();
    let beyond = (4_u64 << 30) + 12_345;
    let parts: Sparse = vec![
        (0, b"begin".to_vec()),
        (beyond - 5, b"beyond".to_vec()),
        (1 << 20, b"end".to_vec()),
        (77, Vec::new()),
    ];
    let size = beyond + 6 + (1 << 20) + 3 + 77;
    let meta = Meta { mode: Mode::new(0o600), ..Meta::default() };
    let member =
        |path: &str, meta| Member { path: path.into(), what: What::File(parts.clone()), meta };
    let tar = write(&[member("big", meta.clone())], Dialect::Pax { sparse_map_in_data: true });
    let old = write(&[member("old", meta)], Dialect::Gnu { sparse: true });
    support::layout(&at.join("in"), &[tar, old]);
    builder(&["convert", "oci:in:v1", "oci:out:v1"], &at);
    builder(&["check", "oci:out:v1"], &at);
    let stat = builder(&["stat", "oci:out:v1", "/big", "--json"], &at).stdout;
    let stat: Value = serde_json::from_slice(&stat).unwrap();
    assert_eq!(stat["size"], size);
    // Holes are one chunk, however long they are.
    let blobs = fs::read_dir(at.join("out/blobs/sha256")).unwrap();
    let stored: u64 = blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum();
    assert!(stored < 2 << 20, "{stored} bytes");

    builder(&["unpack", "oci:out:v1", "--dir", "tree", "--no-owners"], &at);
    for name in ["tree/big", "tree/old"] {
        let file = File::open(at.join(name)).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), size);
        assert!(meta.blocks() * 512 < 8 << 20, "{} blocks", meta.blocks());
        for (place, bytes) in [
            (0, &b"begin\0"[..]),
            (beyond - 3, b"\0\0\0beyond\0"),
            (size - 77 - 4, b"\0end\0"),
            (2 << 30, &[0; 100]),
        ] {
            let mut read = vec![1; bytes.len()];
            file.read_exact_at(&mut read, place).unwrap();
            assert_eq!(read, bytes, "{name}: {place}");
        }
    }
}

/// How many files are in one directory.
const FILES: u64 = if cfg!(feature = "soak") { 1_000_000 } else { 100_000 };

/// A directory of so many files: short ones with bytes of their own, empty ones, a few links.
fn many(tar: &Path) {
    let mut tar = TarWriter::new(BufWriter::new(File::create(tar).unwrap()));
    for number in 0..FILES {
        let bytes = format!("this is file number {number}\n");
        let (kind, link, bytes) = match number % 10 {
            8 => (MemberKind::Symlink, format!("file-{}", number - 1), ""),
            9 => (MemberKind::File, String::new(), ""),
            _ => (MemberKind::File, String::new(), &bytes[..]),
        };
        let member = layer::Member {
            path: format!("many/file-{number}").into_bytes(),
            kind,
            link: link.into_bytes(),
            meta: Meta { mode: Mode::new(0o644), uid: 7, ..Meta::default() },
            size: bytes.len() as u64,
            extents: Vec::new(),
        };
        tar.append(&member, |out| out.write_all(bytes.as_bytes())).unwrap();
    }
    tar.finish().unwrap().flush().unwrap();
}

#[test]
fn a_directory_of_very_many_files() {
    let (_folder, at) = scratch();
    many(&at.join("many.tar"));
    layout(&at, &at.join("many.tar"));
    let run = |args: &[&str]| {
        // What was agreed for `convert`: 128 MiB, and 400 bytes for each entry. Who reads an image
        // has its bootstrap beside its tree.
        let each = if args[0] == "convert" { 400 } else { 800 };
        let bound = (128 << 20) + FILES * each;
        let took = builder(args, &at);
        assert!(took.memory <= bound, "{args:?}: {} of {bound} bytes", took.memory);
        took
    };
    run(&["convert", "oci:in:v1", "oci:out:v1"]);
    run(&["check", "oci:out:v1"]);
    let listed = run(&["ls", "oci:out:v1", "/many"]).stdout;
    assert_eq!(listed.iter().filter(|byte| **byte == b'\n').count() as u64, FILES);
    let last = format!("/many/file-{}", FILES - 4);
    let bytes = run(&["cat", "oci:out:v1", &last]).stdout;
    assert_eq!(bytes, format!("this is file number {}\n", FILES - 4).into_bytes());
    run(&["unpack", "oci:out:v1", "--tar", "tree.tar"]);
    run(&["unpack", "oci:out:v1", "--dir", "tree", "--no-owners"]);
    let tree = at.join("tree/many");
    assert_eq!(fs::read_dir(&tree).unwrap().count() as u64, FILES);
    for number in [0, 1, 4711, FILES - 4] {
        let bytes = fs::read_to_string(tree.join(format!("file-{number}"))).unwrap();
        assert_eq!(bytes, format!("this is file number {number}\n"));
    }
}
