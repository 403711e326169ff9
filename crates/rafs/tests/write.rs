//! What is written is read: trees, blobs, their metadata; and the same input makes the same bytes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use rafs::ci::{CompressionInfo, Location};
use rafs::codec::Decoder;
use rafs::section::{SectionName, Toc, sections};
use rafs::{Bootstrap, ChunkSize, Compressor, Digester, Stored};
use support::build::{Built, Options, build, said};
use support::{chance, files};
use tree::{Inode, InodeId, Meta, Name, Tree};

fn options() -> impl Strategy<Value = Options> {
    let compressor =
        prop_oneof![Just(Compressor::None), Just(Compressor::Lz4), Just(Compressor::Zstd)];
    let digester = prop_oneof![Just(Digester::Blake3), Just(Digester::Sha256)];
    let size = (12..17_u32).prop_map(|bits| ChunkSize::new(1 << bits).unwrap());
    let batch = prop::option::of((12..18_u32).prop_map(|bits| ChunkSize::new(1 << bits).unwrap()));
    (compressor, digester, size, batch, any::<bool>()).prop_map(
        |(compressor, digester, chunk_size, batch_size, contents)| Options {
            chunk_size,
            compressor,
            digester,
            batch_size,
            contents,
        },
    )
}

/// Reads every chunk out of the blob, and compares it with the uncompressed device.
fn read_chunks(built: &Built, bootstrap: &Bootstrap<&[u8]>) {
    let Some(blob) = bootstrap.blobs().first() else { return };
    let begin = usize::try_from(blob.ci.offset).unwrap();
    let end = begin + usize::try_from(blob.ci.compressed_size).unwrap() + 4096;
    let info = CompressionInfo::from_blob(blob, &built.blob[begin..end]).unwrap();
    let file = &built.finished.as_ref().unwrap().meta_file;
    let same = CompressionInfo::from_file(blob, &bytes::Bytes::copy_from_slice(file)).unwrap();
    let mut decoder = Decoder::new();
    for row in (0..).take(bootstrap.chunk_count()) {
        let chunk = bootstrap.chunk(row).unwrap();
        assert_eq!(info.entry(chunk.index), same.entry(chunk.index));
        let part = |offset, size: u32| {
            let at = usize::try_from(offset).unwrap();
            built.blob.slice(at..at + size as usize)
        };
        let digester = bootstrap.digester();
        let open = match info.locate(&chunk).unwrap() {
            Location::Alone { offset, size } => {
                decoder.open(&chunk, blob.compressor, digester, &part(offset, size)).unwrap()
            }
            Location::Batched { batch, at } => {
                let stored = part(batch.offset, batch.compressed_size);
                let open = decoder.open_batch(&batch, blob.compressor, &stored).unwrap();
                open.chunk(&chunk, digester, at).unwrap()
            }
        };
        let at = usize::try_from(chunk.uncompressed_offset).unwrap();
        assert_eq!(open.bytes()[..], built.device[at..at + open.bytes().len()]);
        if blob.compressor == Compressor::None {
            assert!(matches!(chunk.stored, Stored::Alone { offset, .. } if offset == at as u64));
        }
    }
}

fn check_sections(built: &Built) {
    let Ok((toc, digest)) = Toc::read(&built.blob, built.blob.len() as u64) else {
        panic!("no contents");
    };
    assert_eq!(built.image.blobs[0].toc.digest, *digest.as_bytes());
    let found = sections(&built.blob).unwrap();
    assert_eq!(found.len(), 4);
    for entry in toc.entries.iter().filter(|entry| entry.section.name != SectionName::Data) {
        let at = usize::try_from(entry.section.offset).unwrap();
        entry.open(&built.blob[at..at + usize::try_from(entry.section.size).unwrap()]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(tree in chance::trees(40), options in options()) {
        let built = build(&tree, options);
        let bytes = built.image.write().unwrap();
        let bootstrap = Bootstrap::parse(&bytes[..]).unwrap();
        let report = bootstrap.check().unwrap();
        prop_assert_eq!(report.inodes, built.image.tree.len() as u64);
        let read = bootstrap.image().unwrap();
        prop_assert_eq!(said(&read), said(&built.image));
        prop_assert_eq!(&read.blobs, &built.image.blobs);
        prop_assert_eq!(read.prefetch.len(), built.image.prefetch.len());
        // What was read writes to the same bytes, though its chunks have other numbers.
        prop_assert_eq!(read.write().unwrap(), bytes.clone());
        read_chunks(&built, &bootstrap);
        if options.contents && !built.image.blobs.is_empty() {
            check_sections(&built);
        }
    }
}

#[test]
fn what_nydus_image_wrote_is_the_same_after_we_wrote_it() {
    for name in files::IMAGES {
        let Some(sample) = files::image(name) else { return };
        let image = Bootstrap::parse(&sample.bootstrap).unwrap().image().unwrap();
        let bytes = image.write().unwrap();
        let bootstrap = Bootstrap::parse(&bytes).unwrap();
        bootstrap.check().unwrap();
        let again = bootstrap.image().unwrap();
        assert_eq!(said(&again), said(&image), "{name}");
        println!("{name}: {} bytes, ours {}", sample.bootstrap.len(), bytes.len());
        // Directories' blocks begin a block of their own here: one block at most.
        assert!(bytes.len() <= sample.bootstrap.len() + 4096);
    }
}

#[test]
fn a_large_directory_is_found_in() {
    let mut tree = Tree::new(Meta::implied());
    for number in 0..20_000 {
        let name = Name::new(format!("entry-{number:06}").as_bytes()).unwrap();
        tree.insert(InodeId::ROOT, name, Inode::file(Meta::implied(), Vec::new())).unwrap();
    }
    let bytes = build(&tree, Options::default()).image.write().unwrap();
    let bootstrap = Bootstrap::parse(&bytes).unwrap();
    assert_eq!(bootstrap.check().unwrap().names, 20_001);
    let root = bootstrap.inode(bootstrap.root()).unwrap();
    for number in 0..20_000 {
        let name = format!("entry-{number:06}");
        let found = bootstrap.lookup(&root, name.as_bytes()).unwrap().unwrap();
        assert_eq!(found.name, name.as_bytes());
        let missing = bootstrap.lookup(&root, format!("{name}x").as_bytes()).unwrap();
        assert!(missing.is_none());
    }
    assert!(bootstrap.lookup(&root, b"").unwrap().is_none());
    assert!(bootstrap.lookup(&root, b"\xff").unwrap().is_none());
    // From any place on, what is left comes.
    let directory = bootstrap.directory(&root).unwrap();
    let all: Vec<_> = directory.entries().map(|entry| entry.unwrap()).collect();
    for at in [0, 1, 7000, 20_000, 20_001] {
        let rest: Vec<_> = directory.entries_from(all[at].next).map(|e| e.unwrap()).collect();
        assert_eq!(rest, all[at + 1..]);
    }
}

#[test]
fn a_bootstrap_may_lie_in_its_blob() {
    use rafs::codec::Encoder;
    use rafs::write::{BlobOptions, BlobWriter};
    let encoder = || Encoder::new(Compressor::Zstd, Digester::Sha256, 3).unwrap();
    let options = BlobOptions {
        number: 0,
        chunk_size: ChunkSize::DEFAULT,
        batch_size: None,
        contents: true,
        inline_bootstrap: true,
    };
    let mut writer = BlobWriter::new(options, encoder());
    let mut out = Vec::new();
    let chunk = encoder().encode(Bytes::from_static(b"some bytes")).unwrap();
    writer.push(chunk, &mut out).unwrap();
    let tail = writer.finish_chunks(&mut out).unwrap();
    let bootstrap = b"anything for now".repeat(100);
    let finished = tail.finish(Some(&bootstrap), &mut out).unwrap();
    let blob = out.concat();
    assert_eq!((finished.length, finished.digest), (blob.len() as u64, content::Digest::of(&blob)));
    let tail = &blob[blob.len().saturating_sub(4096)..];
    let (toc, _) = Toc::read(tail, blob.len() as u64).unwrap();
    let entry = toc.get(SectionName::Bootstrap).unwrap();
    let at = usize::try_from(entry.section.offset).unwrap();
    let stored = &blob[at..at + usize::try_from(entry.section.size).unwrap()];
    assert_eq!(entry.open(stored).unwrap(), bootstrap);
    assert_eq!(sections(&blob).unwrap().len(), 5);
}

#[test]
fn what_cannot_be_written_is_refused() {
    use rafs::WriteError;
    let write = |inode: Inode<Vec<u8>>| {
        let mut tree = Tree::new(Meta::implied());
        tree.insert(InodeId::ROOT, Name::new(b"x").unwrap(), inode).unwrap();
        build(&tree, Options::default()).image.write()
    };
    let xattr = |name: &[u8], value: &[u8]| {
        let xattrs = [(name.to_vec(), value.to_vec())].into();
        write(Inode::fifo(Meta { xattrs, ..Meta::implied() }))
    };
    assert!(xattr(b"user.x", b"").is_ok());
    assert!(matches!(xattr(b"user.", b""), Err(WriteError::XattrName(_))));
    assert!(matches!(xattr(b"system.other", b""), Err(WriteError::XattrName(_))));
    assert!(matches!(xattr(b"system.posix_acl_access.x", b""), Err(WriteError::XattrName(_))));
    assert!(matches!(xattr(b"user.x", &[0; 65536]), Err(WriteError::XattrSize(_))));
    let link = |target: &[u8]| write(Inode::symlink(Meta::implied(), target));
    assert!(link(&[b'x'; 4095]).is_ok());
    for bad in [&b""[..], &[b'x'; 4096], b"a\0b"] {
        assert!(matches!(link(bad), Err(WriteError::Target(_))));
    }
    let device = tree::Device { major: 4096, minor: 0 };
    let device = write(Inode::char_device(Meta::implied(), device));
    assert!(matches!(device, Err(WriteError::Device { .. })));
}

#[test]
fn chunks_that_are_not_there_are_refused() {
    let mut tree = Tree::new(Meta::implied());
    let file = Inode::file(Meta::implied(), vec![7; 10_000]);
    tree.insert(InodeId::ROOT, Name::new(b"x").unwrap(), file).unwrap();
    let good = build(&tree, Options::default()).image;
    assert!(good.write().is_ok());
    let mut short = good.clone();
    short.chunks.pop();
    assert!(short.write().is_err());
    let mut elsewhere = good.clone();
    elsewhere.chunks[0].blob = 1;
    assert!(elsewhere.write().is_err());
    let mut outside = good.clone();
    outside.chunks[0].uncompressed_offset = outside.blobs[0].uncompressed_size;
    assert!(outside.write().is_err());
    let mut longer = good;
    longer.chunks[0].uncompressed_size += 1;
    assert!(longer.write().is_err());
}
