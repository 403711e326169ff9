//! Chunked images as the program meets them that were made to lead it astray, or that a disk has
//! damaged.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod support;

use std::fs;
use std::mem::offset_of;
use std::path::Path;
use std::process::{Command, Output};

use content::Digest;
use rafs::Bootstrap;
use rafs::bootstrap::Nid;
use rafs::ondisk::chunk::ChunkRow;
use rafs::ondisk::inode::ExtendedInode;
use rafs::ondisk::superblock::{EXTENDED_AT, Extended, SUPERBLOCK_AT, Superblock};

use support::memory::Memory;
use support::repack::{formats, manifest, small, with_bootstrap};
use support::scratch;

fn builder(args: &[&str], at: &Path) -> Output {
    // What goes round in circles must not go on for ever.
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_image-builder")]).args(args).current_dir(at);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// The program on a spoilt image: `check` says 3, what reads it says 1, and nobody panics.
fn refused(image: &Memory, what: &str, why: &str) {
    let (_folder, path) = scratch();
    image.write(&path.join("bad"));
    let output = builder(&["check", "oci:bad:v1", "--json"], &path);
    assert_eq!(output.status.code(), Some(3), "{what}: {}", said(&output));
    assert!(said(&output).contains(why), "{what}: {}", said(&output));
    for args in [
        &["ls", "-R", "oci:bad:v1", "/"][..],
        &["cat", "oci:bad:v1", "/file"],
        &["unpack", "oci:bad:v1", "--tar", "out.tar"],
        &["unpack", "oci:bad:v1", "--dir", "out", "--no-owners"],
        &["export", "--block", "oci:bad:v1", "-o", "disk"],
    ] {
        let output = builder(args, &path);
        assert_eq!(output.status.code(), Some(1), "{what}: {args:?}: {}", said(&output));
        assert!(said(&output).contains("oci:bad:v1"), "{what}: {args:?}: {}", said(&output));
        assert!(!said(&output).contains("panicked"), "{}", said(&output));
    }
}

/// A place in a bootstrap, found by its own reader.
struct Places(Vec<u8>);

impl Places {
    fn of(image: &Memory) -> Self {
        let members = support::repack::members(image);
        Self(members.into_iter().find(|(name, _)| name == "image/image.boot").unwrap().1)
    }

    fn number(&self, at: usize) -> usize {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap()) as usize
    }

    fn superblock(field: usize) -> usize {
        usize::try_from(SUPERBLOCK_AT).unwrap() + field
    }

    fn extended(field: usize) -> usize {
        usize::try_from(EXTENDED_AT).unwrap() + field
    }

    fn row(&self, row: usize, field: usize) -> usize {
        let table = self.number(Self::extended(offset_of!(Extended, chunk_table_at)));
        table + row * size_of::<ChunkRow>() + field
    }

    fn nid(&self, path: &[&str]) -> Nid {
        let bootstrap = Bootstrap::parse(&self.0[..]).unwrap();
        let mut at = bootstrap.root();
        for name in path {
            let inode = bootstrap.inode(at).unwrap();
            at = bootstrap.lookup(&inode, name.as_bytes()).unwrap().unwrap().nid;
        }
        at
    }

    fn inode(&self, path: &[&str], field: usize) -> usize {
        let meta = self.number(Self::superblock(offset_of!(Superblock, meta_block)));
        meta * 4096 + usize::try_from(self.nid(path).0).unwrap() * 32 + field
    }

    /// Where a directory names the inode `of`.
    fn entry(&self, directory: &[&str], of: &[&str]) -> usize {
        let from = self.inode(directory, 0);
        let wanted = self.nid(of).0.to_le_bytes();
        from + self.0[from..].windows(8).position(|part| part == wanted).unwrap()
    }
}

#[test]
fn images_made_to_lead_astray_are_refused() {
    let image = small(formats()[1]);
    let at = Places::of(&image);
    let nids = [at.nid(&["one"]), at.nid(&[])].map(|nid| nid.0.to_le_bytes().to_vec());
    let [one, root] = nids;
    let size = |path: &[&str]| at.inode(path, offset_of!(ExtendedInode, size));
    let many = u32::MAX.to_le_bytes().to_vec();
    let most = u64::MAX.to_le_bytes().to_vec();
    let first = at.row(0, offset_of!(ChunkRow, uncompressed_offset));
    let second = at.row(1, offset_of!(ChunkRow, uncompressed_offset));
    let place = at.0[first..first + 8].to_vec();
    let table = |field| Places::extended(field);
    let cases: Vec<(&str, &str, usize, Vec<u8>)> = vec![
        (
            "a directory in itself",
            "more than one place",
            at.entry(&["one"], &["one", "inner"]),
            one.clone(),
        ),
        ("the root in a directory", "", at.entry(&["one"], &["one", "inner"]), root),
        ("a directory twice", "more than one place", at.entry(&[], &["two"]), one),
        ("chunks upon one another", "overlap", second, place),
        ("a chunk of no blob", "no such blob", at.row(0, offset_of!(ChunkRow, blob)), many.clone()),
        (
            "a chunk beyond its blob",
            "",
            at.row(0, offset_of!(ChunkRow, compressed_offset)),
            most.clone(),
        ),
        ("a chunk without end", "", at.row(0, offset_of!(ChunkRow, compressed_size)), many.clone()),
        ("a file without end", "", size(&["file"]), most.clone()),
        ("a directory without end", "", size(&["one"]), most.clone()),
        ("a link without end", "", size(&["symlink"]), most.clone()),
        (
            "names without end",
            "",
            at.inode(&["file"], offset_of!(ExtendedInode, nlink)),
            many.clone(),
        ),
        (
            "inodes without end",
            "count of inodes",
            Places::superblock(offset_of!(Superblock, inodes)),
            most.clone(),
        ),
        ("chunks without end", "", table(offset_of!(Extended, chunk_table_size)), most.clone()),
        ("chunks elsewhere", "", table(offset_of!(Extended, chunk_table_at)), most.clone()),
        ("blobs without end", "", table(offset_of!(Extended, blob_table_size)), many),
        ("blobs elsewhere", "", table(offset_of!(Extended, blob_table_at)), most),
    ];
    for (what, why, at, bytes) in cases {
        let bad = with_bootstrap(&image, |bootstrap| {
            bootstrap[at..at + bytes.len()].copy_from_slice(&bytes);
        });
        refused(&bad, what, why);
    }
}

/// Half of one, none; what is only put together again is fine.
#[test]
fn bootstraps_that_are_cut_off_are_refused() {
    let image = small(formats()[1]);
    let same = with_bootstrap(&image, |_| ());
    let (_folder, path) = scratch();
    same.write(&path.join("same"));
    let output = builder(&["check", "oci:same:v1"], &path);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    refused(&with_bootstrap(&image, |it| it.truncate(it.len() / 2)), "half a bootstrap", "");
    refused(&with_bootstrap(&image, Vec::clear), "no bootstrap", "");
}

/// A sample of what can happen to a disk, as the program meets it.
#[test]
fn damaged_files_of_a_layout_are_found() {
    let image = small(formats()[0]);
    let (_folder, path) = scratch();
    image.write(&path.join("bad"));
    let good = builder(&["check", "oci:bad:v1"], &path);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    let wanted = builder(&["unpack", "oci:bad:v1", "--tar", "-"], &path).stdout;
    let blobs = path.join("bad/blobs/sha256");
    let manifest = manifest(&image);
    let layers = manifest["layers"].as_array().unwrap();
    let named = layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned());
    let top = Digest::of(&image.named().unwrap()).to_string();
    for digest in named.chain([top]) {
        let file = blobs.join(digest.strip_prefix("sha256:").unwrap());
        let good = fs::read(&file).unwrap();
        let cut = |length: usize| good[..length].to_vec();
        let flipped = |at: usize| {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            bad
        };
        let mut bad: Vec<_> = [0, good.len() / 2, good.len() - 1].map(cut).into();
        bad.extend((0..good.len()).step_by((good.len() / 4).max(1)).map(flipped));
        for bad in bad {
            fs::write(&file, &bad).unwrap();
            let output = builder(&["check", "oci:bad:v1"], &path);
            assert!(matches!(output.status.code(), Some(1 | 3)), "{digest}: {}", said(&output));
            let output = builder(&["unpack", "oci:bad:v1", "--tar", "-"], &path);
            match output.status.code() {
                // What nobody read of it cannot matter.
                Some(0) => assert!(output.stdout == wanted, "{digest}: other bytes"),
                code => {
                    assert_eq!(code, Some(1), "{digest}: {}", said(&output));
                    assert!(!output.stderr.is_empty());
                }
            }
        }
        fs::remove_file(&file).unwrap();
        let output = builder(&["check", "oci:bad:v1"], &path);
        assert!(matches!(output.status.code(), Some(1 | 3)), "{digest}: {}", said(&output));
        fs::write(&file, &good).unwrap();
    }
}
