//! Where the samples are: six images of one tree that stock `nydus-image` made, and that tree's
//! list. They lie beside the checkout, as `shared/samples`, or where `MEGANEURA_SAMPLES` says.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use rafs::section::{SectionName, Toc};

/// The folder of all samples, or a word on standard error that there is none.
pub fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples");
    let folder = std::env::var_os("MEGANEURA_SAMPLES").map_or_else(|| beside.into(), PathBuf::from);
    if folder.join("tree.jsonl").exists() {
        return Some(folder);
    }
    super::skipped(&format!("there are no samples in {}", folder.display()));
    None
}

/// The images' names.
pub const IMAGES: [&str; 6] = [
    "lz4-sha256",
    "none-blake3-64k",
    "tar-inline-toc",
    "zstd-batch-blake3",
    "zstd-blake3",
    "zstd-sha256-toc",
];

/// One image.
pub struct Image {
    pub bootstrap: Vec<u8>,
    /// Its one blob.
    pub blob: Bytes,
}

/// Reads an image; its bootstrap may lie in the blob.
pub fn image(name: &str) -> Option<Image> {
    let folder = folder()?.join(name);
    let blob = fs::read_dir(folder.join("blobs")).unwrap().next().unwrap().unwrap().path();
    let blob = Bytes::from(fs::read(blob).unwrap());
    let bootstrap = match fs::read(folder.join("bootstrap")) {
        Ok(bytes) => bytes,
        Err(_) => inline(&blob),
    };
    Some(Image { bootstrap, blob })
}

fn inline(blob: &Bytes) -> Vec<u8> {
    let (toc, _) = Toc::read(&blob[blob.len() - 4096..], blob.len() as u64).unwrap();
    let entry = toc.get(SectionName::Bootstrap).unwrap();
    let begin = usize::try_from(entry.section.offset).unwrap();
    let end = begin + usize::try_from(entry.section.size).unwrap();
    entry.open(&blob[begin..end]).unwrap()
}
