//! Any bytes are read without a panic, without much memory, and in time.
//!
//! Runs as a plain test; `cargo bolero test` runs the same targets under a fuzzer.

mod common;

use std::io::Write;

use layer::limits::{AbsolutePaths, ThroughSymlinks};
use layer::{Limits, Options, read_layer};

fn lenient() -> Options {
    let limits =
        Limits { unpacked: 1 << 24, entries: 10_000, metadata: 1 << 20, ..Limits::default() };
    Options {
        limits,
        absolute_paths: AbsolutePaths::FromRoot,
        through_symlinks: ThroughSymlinks::Follow,
    }
}

fn try_it(bytes: &[u8]) {
    if let Ok(layer) = read_layer(bytes, &lenient(), common::take) {
        // What was read can be stacked, or is refused.
        drop(tree::stack(tree::Tree::default(), layer));
    }
}

#[test]
fn any_bytes() {
    bolero::check!().for_each(try_it);
}

/// Blocks of a tar with right checksums: what comes after the first check is reached.
#[test]
fn blocks_with_right_checksums() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut tar = Vec::new();
        for part in bytes.chunks(48) {
            tar.extend(block(part));
        }
        tar.extend([0; 1024]);
        try_it(&tar);
    });
}

/// A header whose fields are taken from a few bytes.
fn block(part: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    let at = |index: usize| part.get(index).copied().unwrap_or_default();
    let kinds = b"0123456xgLKS\x007";
    block[156] = kinds[usize::from(at(0)) % kinds.len()];
    let names: [&[u8]; 8] =
        [b"a", b"a/b", b"b", b"../c", b"/a", b".wh.a", b"a/.wh..wh..opq", b"b/c/d"];
    let name = names[usize::from(at(1)) % names.len()];
    block[..name.len()].copy_from_slice(name);
    let link = names[usize::from(at(2)) % names.len()];
    block[157..157 + link.len()].copy_from_slice(link);
    let magic: &[u8] = if at(3).is_multiple_of(2) { b"ustar\x0000" } else { b"ustar  \0" };
    block[257..265].copy_from_slice(magic);
    let size = format!("{:011o}", u32::from(at(4)) % 4 * 256);
    block[124..135].copy_from_slice(size.as_bytes());
    let rest = part.get(5..).unwrap_or_default();
    block[386..386 + rest.len()].copy_from_slice(rest);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn any_extended_header() {
    bolero::check!().for_each(|bytes: &[u8]| {
        drop(layer::pax::Pax::parse(bytes));
        drop(layer::pax::Pax::check_global(bytes));
        drop(layer::sparse::parse_list(bytes));
        drop(layer::sparse::parse_fields(bytes));
    });
}

/// Real archives.
const ARCHIVES: [&[u8]; 2] =
    [include_bytes!("fixtures/python-pax.tar"), include_bytes!("fixtures/python-gnu.tar")];

/// Plain, under gzip, under gzip in two members, under zstd.
fn packed(tar: &[u8], how: u8) -> Vec<u8> {
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).and_then(|()| gzip.finish()).expect("to memory")
    };
    match how % 4 {
        0 => tar.to_vec(),
        1 => gzip(tar),
        2 => [gzip(&tar[..tar.len() / 2]), gzip(&tar[tar.len() / 2..])].concat(),
        _ => zstd::encode_all(tar, 1).expect("to memory"),
    }
}

/// Real archives with a few bytes changed, each so far after the one before, and cut; before they
/// are compressed or after.
#[test]
fn archives_changed() {
    type Changes = (u8, bool, Vec<(u16, u8)>, Option<u16>);
    bolero::check!().with_type::<Changes>().for_each(|(which, after, changes, length)| {
        let tar = ARCHIVES[usize::from(*which >> 4) % ARCHIVES.len()];
        let mut bytes = if *after { packed(tar, *which) } else { tar.to_vec() };
        let mut at = 0;
        for (step, value) in changes {
            at = (at + usize::from(*step)) % bytes.len();
            bytes[at] = *value;
        }
        bytes.truncate(length.map_or(usize::MAX, usize::from));
        try_it(&if *after { bytes } else { packed(&bytes, *which) });
    });
}

/// Real archives with single bits flipped.
#[test]
fn flipped_bits() {
    for archive in ARCHIVES {
        let before = common::list_tree(&common::tree_of(archive));
        assert!(before.len() > 10);
        for bit in (0..archive.len() * 8).step_by(11) {
            let mut flipped = archive.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            try_it(&flipped);
        }
    }
}

/// Under compression, a flipped bit is told by the checksum at the latest: no other files come out.
/// zstd has one only if who compresses asks for it; `zstd` and containerd do.
#[test]
fn flipped_bits_under_compression() {
    let tar = ARCHIVES[0];
    let checked = || -> std::io::Result<Vec<u8>> {
        let mut zstd = zstd::Encoder::new(Vec::new(), 1)?;
        zstd.include_checksum(true)?;
        zstd.write_all(tar)?;
        zstd.finish()
    };
    let wanted = common::list_tree(&common::tree_of(tar));
    for good in [packed(tar, 1), packed(tar, 2), checked().expect("to memory")] {
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Some bits say nothing: a time in gzip's header, say.
            if let Ok(layer) = common::read(&flipped) {
                let tree = tree::stack(tree::Tree::default(), layer).expect("over nothing");
                assert_eq!(common::list_tree(&tree), wanted, "bit {bit}");
            }
        }
    }
}
