//! What stock `nydus-image` made reads completely, and is what it was made from.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod support;

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use content::Digest;
use rafs::bootstrap::{FileType, Inode};
use rafs::ci::{CompressionInfo, Location};
use rafs::codec::{Decoder, VerifiedChunk};
use rafs::section::{SectionName, Toc, sections};
use rafs::{Blob, BlobId, Bootstrap, ChunkInfo};
use serde_json::Value;
use support::files;

/// A file of the tree, as it is listed.
#[derive(PartialEq, Eq, Debug)]
struct Listed {
    file_type: FileType,
    permissions: u16,
    owner: (u32, u32),
    /// Not a directory's.
    nlink: Option<u32>,
    /// Seconds and nanoseconds; the root's is not compared.
    mtime: Option<(i64, u32)>,
    size: Option<u64>,
    sha256: Option<String>,
    target: Option<Vec<u8>>,
    device: Option<(u32, u32)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn unsigned(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// A path, whose last part may be in base64.
fn path_of(text: &str) -> Vec<u8> {
    match text.split_once("base64:") {
        Some((before, encoded)) => {
            [before.as_bytes(), &BASE64_STANDARD.decode(encoded).unwrap()].concat()
        }
        None => text.as_bytes().to_vec(),
    }
}

fn listed(value: &Value) -> Listed {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let time = value["mtime_ns"].as_i64().unwrap();
    let nanoseconds = u32::try_from(time.rem_euclid(1_000_000_000)).unwrap();
    let file_type = match value["type"].as_str().unwrap() {
        "-" => FileType::Regular,
        "d" => FileType::Directory,
        "l" => FileType::Symlink,
        "b" => FileType::Block,
        "c" => FileType::Character,
        "p" => FileType::Fifo,
        other => panic!("{other}"),
    };
    let xattrs = value["xattrs_base64"].as_object().into_iter().flatten();
    let mode = value["mode"].as_str().unwrap().trim_start_matches("0o");
    Listed {
        file_type,
        permissions: u16::from_str_radix(mode, 8).unwrap(),
        owner: (unsigned(&value["uid"]), unsigned(&value["gid"])),
        nlink: (file_type != FileType::Directory).then(|| unsigned(&value["nlink"])),
        mtime: (value["path"] != "/").then(|| (time.div_euclid(1_000_000_000), nanoseconds)),
        size: value["size"].as_u64(),
        sha256: text("sha256"),
        target: text("target").map(String::into_bytes),
        device: value["rdev"].as_array().map(|rdev| (unsigned(&rdev[0]), unsigned(&rdev[1]))),
        xattrs: xattrs
            .map(|(name, value)| {
                let value = BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
                (name.as_bytes().to_vec(), value)
            })
            .collect(),
    }
}

fn list() -> Option<BTreeMap<Vec<u8>, Listed>> {
    let text = std::fs::read_to_string(files::folder()?.join("tree.jsonl")).unwrap();
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    Some(values.map(|value| (path_of(value["path"].as_str().unwrap()), listed(&value))).collect())
}

/// Reads chunks out of one blob.
struct Reader<'a> {
    blob: &'a Blob,
    data: &'a Bytes,
    info: CompressionInfo,
    decoder: Decoder,
    digester: rafs::Digester,
}

impl<'a> Reader<'a> {
    fn new(bootstrap: &'a Bootstrap<Vec<u8>>, data: &'a Bytes) -> Self {
        let blob = &bootstrap.blobs()[0];
        let begin = usize::try_from(blob.ci.offset).unwrap();
        let end = begin + usize::try_from(blob.ci.compressed_size).unwrap() + 4096;
        let info = CompressionInfo::from_blob(blob, &data[begin..end]).unwrap();
        Self { blob, data, info, decoder: Decoder::new(), digester: bootstrap.digester() }
    }

    fn bytes(&self, offset: u64, size: u32) -> Bytes {
        let begin = usize::try_from(offset).unwrap();
        self.data.slice(begin..begin + size as usize)
    }

    fn chunk(&mut self, chunk: &ChunkInfo) -> VerifiedChunk {
        match self.info.locate(chunk).unwrap() {
            Location::Alone { offset, size } => {
                let stored = self.bytes(offset, size);
                let open = self.decoder.open(chunk, self.blob.compressor, self.digester, &stored);
                open.unwrap()
            }
            Location::Batched { batch, at } => {
                let stored = self.bytes(batch.offset, batch.compressed_size);
                let open = self.decoder.open_batch(&batch, self.blob.compressor, &stored).unwrap();
                open.chunk(chunk, self.digester, at).unwrap()
            }
        }
    }
}

fn read(
    bootstrap: &Bootstrap<Vec<u8>>,
    inode: &Inode,
    root: bool,
    reader: &mut Reader<'_>,
) -> Listed {
    let xattrs = bootstrap.xattrs(inode).unwrap().map(|xattr| xattr.unwrap());
    let regular = inode.file_type == FileType::Regular;
    let sha256 = regular.then(|| {
        let mut bytes = Vec::new();
        for chunk in bootstrap.chunks(inode).unwrap().iter() {
            let chunk = chunk.unwrap();
            assert_eq!(chunk.file_offset, bytes.len() as u64);
            bytes.extend_from_slice(reader.chunk(&chunk.info).bytes());
        }
        assert_eq!(bytes.len() as u64, inode.size);
        Digest::of(&bytes).to_hex()
    });
    Listed {
        file_type: inode.file_type,
        permissions: inode.permissions,
        owner: (inode.uid, inode.gid),
        nlink: (inode.file_type != FileType::Directory).then_some(inode.nlink),
        mtime: (!root).then_some((inode.mtime, inode.mtime_nsec)),
        size: regular.then_some(inode.size),
        sha256,
        target: bootstrap.target(inode).ok().map(<[u8]>::to_vec),
        device: inode.device(),
        xattrs: xattrs.map(|xattr| (xattr.name.into_owned(), xattr.value.to_vec())).collect(),
    }
}

/// Every file of an image by its path, its bytes hashed.
fn read_all(image: &files::Image) -> BTreeMap<Vec<u8>, Listed> {
    let bootstrap = Bootstrap::parse(image.bootstrap.clone()).unwrap();
    let mut reader = Reader::new(&bootstrap, &image.blob);
    let mut paths = HashMap::new();
    let mut all = BTreeMap::new();
    for visit in bootstrap.walk() {
        let visit = visit.unwrap();
        let root = visit.name.is_empty();
        let path = if root {
            b"/".to_vec()
        } else {
            let parent: &Vec<u8> = &paths[&visit.parent];
            [parent.strip_suffix(b"/").unwrap_or(parent), b"/", visit.name].concat()
        };
        if visit.inode.file_type == FileType::Directory {
            paths.insert(visit.inode.nid, path.clone());
        }
        let entry = bootstrap.inode(visit.parent).unwrap();
        if !root {
            let found = bootstrap.lookup(&entry, visit.name).unwrap().unwrap();
            assert_eq!(found.nid, visit.inode.nid, "{}", path.escape_ascii());
        }
        all.insert(path, read(&bootstrap, &visit.inode, root, &mut reader));
    }
    all
}

#[test]
fn every_sample_is_the_tree_that_it_was_made_of() {
    for name in files::IMAGES {
        let (Some(image), Some(mut list)) = (files::image(name), list()) else { return };
        let mut read = read_all(&image);
        for list in [&mut list, &mut read] {
            // From a tar, the tool takes whole seconds only.
            for file in list.values_mut().filter(|_| name == "tar-inline-toc") {
                file.mtime = file.mtime.map(|(seconds, _)| (seconds, 0));
            }
        }
        assert_eq!(list.len(), read.len());
        for (path, file) in &list {
            assert_eq!(read.get(path), Some(file), "{name}: {}", path.escape_ascii());
        }
        println!("{name}: {} files", read.len());
    }
}

#[test]
fn every_sample_holds_together() {
    for name in files::IMAGES {
        let Some(image) = files::image(name) else { return };
        let bootstrap = Bootstrap::parse(&image.bootstrap).unwrap();
        let report = bootstrap.check().unwrap();
        assert_eq!((report.names, report.inodes), (1543, 1542), "{name}");
        assert_eq!(report.directories, 26);
        println!("{name}: {report:?}");
    }
}

#[test]
fn every_sample_names_its_blob() {
    for name in files::IMAGES {
        let Some(image) = files::image(name) else { return };
        let bootstrap = Bootstrap::parse(&image.bootstrap).unwrap();
        let blob = &bootstrap.blobs()[0];
        // With a table of contents, the tool leaves the digests' section out of its hash.
        let toc = Toc::read(&image.blob, image.blob.len() as u64);
        match blob.id {
            BlobId::Inline => assert_eq!(name, "tar-inline-toc"),
            BlobId::Digest(digest) if toc.is_err() => assert_eq!(digest, Digest::of(&image.blob)),
            BlobId::Digest(_) => assert_eq!(blob.toc.digest, *toc.unwrap().1.as_bytes()),
        }
    }
}

#[test]
fn sections_and_contents_agree() {
    for name in ["tar-inline-toc", "zstd-sha256-toc"] {
        let Some(image) = files::image(name) else { return };
        let bootstrap = Bootstrap::parse(&image.bootstrap).unwrap();
        let mut found = sections(&image.blob).unwrap();
        found.reverse();
        let (toc, _) = Toc::read(&image.blob, image.blob.len() as u64).unwrap();
        for section in &found[..found.len() - 1] {
            let entry = toc.get(section.name).unwrap();
            assert_eq!(entry.section.offset, section.offset, "{name}");
            let header = if section.name == SectionName::Meta { 4096 } else { 0 };
            assert_eq!(entry.section.size + header, section.size);
        }
        for entry in toc.entries.iter().filter(|entry| entry.section.name != SectionName::Data) {
            let begin = usize::try_from(entry.section.offset).unwrap();
            let end = begin + usize::try_from(entry.section.size).unwrap();
            let plain = entry.open(&image.blob[begin..end]).unwrap();
            if entry.section.name == SectionName::Digests {
                for row in 0..u32::try_from(bootstrap.chunk_count()).unwrap() {
                    let chunk = bootstrap.chunk(row).unwrap();
                    let at = chunk.index as usize * 32;
                    assert_eq!(plain[at..at + 32], chunk.digest.0);
                }
            }
        }
    }
}

#[test]
fn the_whole_blob_cannot_be_less_than_its_chunks() {
    for name in files::IMAGES {
        let Some(image) = files::image(name) else { return };
        let bootstrap = Bootstrap::parse(image.bootstrap.clone()).unwrap();
        let mut reader = Reader::new(&bootstrap, &image.blob);
        // A flipped bit in any chunk is found, and so is a byte less.
        for row in 0..u32::try_from(bootstrap.chunk_count()).unwrap() {
            let chunk = bootstrap.chunk(row).unwrap();
            let Location::Alone { offset, size } = reader.info.locate(&chunk).unwrap() else {
                continue;
            };
            let mut bytes = reader.bytes(offset, size).to_vec();
            let at = row as usize % bytes.len();
            bytes[at] ^= 1 << (row % 8);
            let compressor = reader.blob.compressor;
            let flipped = Bytes::from(bytes);
            let digester = reader.digester;
            // zstd ignores some bits of its frames: then the bytes are right all the same.
            if let Ok(opened) = reader.decoder.open(&chunk, compressor, digester, &flipped) {
                assert_eq!(digester.digest(opened.bytes()), chunk.digest);
                assert_ne!(compressor, rafs::Compressor::None);
            }
            let short = flipped.slice(1..);
            assert!(reader.decoder.open(&chunk, compressor, digester, &short).is_err());
        }
    }
}
