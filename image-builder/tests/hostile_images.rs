//! Chunked images that are not what they say: every flipped bit of the metadata of images that we
//! wrote, and flipped bits and cuts of all that is stored.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use content::{BlobHasher, Digest};
use image_builder::check::{check, image::check as check_around};
use image_builder::opened::choose::{Want, choose};
use image_builder::opened::chunks::ChunkReader;
use image_builder::opened::store::{Chunked, Reach, open};
use image_builder::opened::{OpenError, Opened};
use image_builder::store::Store;
use rafs::Blob;
use rafs::ci::Location;

use support::memory::Memory;
use support::repack::{Root, bootstrap_layer, bootstrap_tar, data_blob, formats, small, with_tar};

fn opened(image: &Memory) -> Result<Chunked, OpenError> {
    let store: Arc<dyn Store> = Arc::new(image.clone());
    let document = choose(&store, Want::Chunked, None)?;
    open(store, document, Reach::Parts)
}

/// Every file's bytes by their digest, or why they are not.
fn contents(opened: &Opened) -> BTreeMap<Vec<u8>, Result<Digest, String>> {
    let mut files = BTreeMap::new();
    let mut walk = opened.tree().walk();
    let mut reader = ChunkReader::new(opened);
    while let Some(visit) = walk.next() {
        let Some(content) = visit.inode.content() else { continue };
        let mut out = Hashing(BlobHasher::new());
        let copied = reader.copy(content, &mut out).map(|()| out.0.finish());
        files.insert(walk.path_bytes().to_vec(), copied.map_err(|_| "refused".to_owned()));
    }
    files
}

struct Hashing(BlobHasher);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What became of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// The image is not opened, or `check` finds something.
    Found,
    /// It is the same image.
    Harmless,
}

/// What becomes of an image that is `good` with something changed in its metadata.
fn fate(good: &Opened, image: &Memory) -> Fate {
    let Ok(found) = opened(image) else { return Fate::Found };
    match (check(&found.opened, 1, &()), check_around(&found)) {
        (Ok(inside), Ok(around)) if inside.problems.is_empty() && around.is_empty() => {}
        _ => return Fate::Found,
    }
    // Nothing was found: then nothing may be different.
    let (was, is) = (good.image(), found.opened.image());
    assert_eq!(good.hashes(), found.opened.hashes(), "another tree");
    assert_eq!(was.chunks, is.chunks, "other chunks");
    // Bits of a blob's features in the upper half are for those who know them, and how a blob is
    // compressed of which nothing is says nothing.
    let read =
        |of: &Opened| (0..).zip(&of.image().blobs).map(|(n, b)| said(of, n, b)).collect::<Vec<_>>();
    assert_eq!(read(good), read(&found.opened), "other blobs");
    assert_eq!(contents(good), contents(&found.opened), "other bytes");
    Fate::Harmless
}

/// What an image says of one of its blobs, and is to be believed in.
fn said(of: &Opened, number: u8, blob: &Blob) -> impl PartialEq + Debug + use<> {
    let compressed = of.image().chunks.iter().filter(|chunk| chunk.blob == number).any(|chunk| {
        match of.info_of(number).unwrap().locate(chunk).unwrap() {
            Location::Alone { size, .. } => size != chunk.uncompressed_size,
            Location::Batched { batch, .. } => batch.compressed_size != batch.uncompressed_size,
        }
    });
    let compressor = compressed.then_some(blob.compressor);
    (blob.id, blob.chunks, blob.compressed_size, blob.ci, compressor)
}

/// Which bits are flipped: all of a byte that stands near others, one of those between zeros,
/// which are padding. `make soak` flips every bit of all.
fn bits(bytes: &[u8]) -> Vec<usize> {
    let near = |at: usize| {
        let near = at.saturating_sub(24)..(at + 24).min(bytes.len());
        cfg!(feature = "soak") || bytes[near].iter().any(|byte| *byte != 0)
    };
    let all = (0..bytes.len() * 8).filter(|bit| near(bit / 8) || bit % 512 == 77);
    // A build for tests takes a second for a few thousand.
    all.filter(|bit| cfg!(not(debug_assertions)) || bit % 8 == bit / 8 % 8).collect()
}

/// Somebody changes the metadata, and makes the digests of the layer and of the manifest fit: the
/// merkle root stays, and with it the tree.
#[test]
fn flipped_bits_of_the_metadata_are_found_by_the_root() {
    let formats = formats();
    for format in &formats[..if cfg!(feature = "soak") { formats.len() } else { 1 }] {
        let image = small(*format);
        let good = opened(&image).unwrap();
        let tar = bootstrap_tar(&image);
        assert_eq!(fate(&good.opened, &with_tar(&image, &tar, Root::Said)), Fate::Harmless);
        let mut fates = [0; 2];
        for bit in bits(&tar) {
            let mut bad = tar.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fates[fate(&good.opened, &with_tar(&image, &bad, Root::Said)) as usize] += 1;
        }
        // What is harmless are the tar's own headers, padding, and what only a kernel reads.
        println!("{format:?}: {} found, {} harmless", fates[0], fates[1]);
        // The soak flips every bit of the padding too, of which there is more than of the rest.
        let enough = if cfg!(feature = "soak") { 1000 } else { fates[1] };
        assert!(fates[0] > enough, "{fates:?}");
    }
}

/// Nobody makes the digests fit: every bit of the layer, as it is stored, is found.
#[test]
fn flipped_bits_of_the_stored_layer_are_found_by_its_digest() {
    let image = small(formats()[0]);
    let layer = bootstrap_layer(&image);
    let digest = Digest::of(&layer);
    for at in 0..layer.len() {
        for bit in 0..8 {
            let mut bad = layer.clone();
            bad[at] ^= 1 << bit;
            let spoilt = image.clone();
            spoilt.spoil(digest, bad);
            assert!(opened(&spoilt).is_err(), "bit {bit} of byte {at}");
        }
    }
    for length in 0..layer.len() {
        let spoilt = image.clone();
        spoilt.spoil(digest, layer[..length].to_vec());
        assert!(opened(&spoilt).is_err(), "cut off after {length}");
    }
}

/// Every so many bytes of a blob are changed.
const STEP: usize = if cfg!(feature = "soak") { 1 } else { 13 };

/// Bytes of the data blobs: `check` finds each, and no file is read as another one.
#[test]
fn flipped_bits_of_blobs_are_found() {
    for format in formats() {
        let image = small(format);
        let good = contents(&opened(&image).unwrap().opened);
        let (digest, blob) = data_blob(&image);
        let lengths =
            (0..blob.len()).step_by(STEP * 10).map(|length| (blob[..length].to_vec(), length));
        let flips = (0..blob.len()).step_by(STEP).map(|at| {
            let mut bad = blob.clone();
            bad[at] ^= 1 << (at % 8);
            (bad, at)
        });
        let mut refused = 0;
        for (bad, at) in flips.chain(lengths) {
            let spoilt = image.clone();
            spoilt.spoil(digest, bad);
            let opened = opened(&spoilt).unwrap();
            let found = check(&opened.opened, 1, &());
            assert!(!found.is_ok_and(|found| found.problems.is_empty()), "{format:?}: byte {at}");
            for (path, read) in contents(&opened.opened) {
                refused += usize::from(read.is_err());
                assert!(read.is_err() || read == good[&path], "{format:?}: byte {at}");
            }
        }
        assert!(refused > 100, "{format:?}: {refused}");
    }
}
