//! A bootstrap and its blobs as files, as `nydus-image` leaves them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use content::Digest;
use rafs::ondisk::MAX_BOOTSTRAP;
use rafs::section::{Section, SectionName, TAR_HEADER_SIZE, TOC_TAIL, Toc, section_before};

use crate::bytes::{BlobFolder, Blobs, FilePart, NoBlobs, OneBlob, ReadAt};
use crate::{OpenError, Parts};

/// Where the blobs are.
#[derive(Clone, Debug)]
pub enum BlobsAt {
    /// In a folder, each named by its digest in hex.
    Folder(PathBuf),
    /// All that there is is one.
    File(PathBuf),
    /// In the folder `blobs` beside the bootstrap, or beside it, or nowhere.
    Guess,
}

/// Finds the image whose bootstrap is the file `bootstrap`, or lies in that file: a data blob
/// with its bootstrap in it.
///
/// # Errors
/// If the files cannot be read, or are no image.
pub fn parts(bootstrap: &Path, blobs: &BlobsAt) -> Result<Parts, OpenError> {
    let bytes = read_bootstrap(bootstrap)?;
    let blobs = self::blobs(bootstrap, blobs).map_err(OpenError::read(bootstrap.display()))?;
    Ok(Parts { bootstrap: bytes, blobs, metas: HashMap::new(), merkle: None, root: None })
}

/// The bootstrap that is the file `bootstrap`, or lies in that file.
///
/// # Errors
/// If the file cannot be read, or is none.
pub fn read_bootstrap(bootstrap: &Path) -> Result<Bytes, OpenError> {
    let file = File::open(bootstrap).and_then(FilePart::whole);
    let file = file.map_err(OpenError::read(bootstrap.display()))?;
    match inline_bootstrap(&file)? {
        Some(bytes) => Ok(bytes),
        None => whole(&file).map_err(OpenError::read(bootstrap.display())),
    }
}

/// Who has the data blobs of the image whose bootstrap is the file `bootstrap`, or lies in it.
///
/// # Errors
/// If the file cannot be opened.
pub fn blobs(bootstrap: &Path, blobs: &BlobsAt) -> io::Result<Box<dyn Blobs>> {
    let is_inline = has_sections(&File::open(bootstrap)?);
    let inline = is_inline.then(|| bootstrap.to_owned());
    let beside = bootstrap.parent().map(Path::to_owned).unwrap_or_default();
    Ok(match blobs {
        BlobsAt::Folder(folder) => Box::new(BlobFolder { folder: folder.clone(), inline }),
        BlobsAt::File(file) => Box::new(OneBlob(file.clone())),
        BlobsAt::Guess => match [beside.join("blobs"), beside].into_iter().find(|at| at.is_dir()) {
            Some(folder) => Box::new(BlobFolder { folder, inline }),
            None if is_inline => Box::new(BlobFolder { folder: PathBuf::new(), inline }),
            None => Box::new(NoBlobs),
        },
    })
}

/// The compression info of blobs that lies in `folder` as files, as it travels beside a bootstrap.
/// What cannot be read is left out.
#[must_use]
pub fn infos(folder: &Path) -> HashMap<Digest, Bytes> {
    let read = |blob: Digest| {
        let file = File::open(folder.join(format!("{}{META}", blob.to_hex()))).ok()?;
        Some((blob, whole(&FilePart::whole(file).ok()?).ok()?))
    };
    blobs_with_info(folder).into_iter().filter_map(read).collect()
}

/// The blobs of which there are such files in `folder`.
#[must_use]
pub fn blobs_with_info(folder: &Path) -> Vec<Digest> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let digest = |name: &str| format!("sha256:{}", name.strip_suffix(META)?).parse().ok();
    entries.filter_map(|entry| digest(entry.file_name().to_str()?)).collect()
}

/// What such a file is called, behind its blob's digest.
pub(crate) const META: &str = ".blob.meta";

fn whole(file: &dyn ReadAt) -> io::Result<Bytes> {
    if file.length() > MAX_BOOTSTRAP {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long for a bootstrap"));
    }
    file.read_at(0, file.length())
}

/// The bootstrap in a data blob; `None` if this is no data blob with tar headers.
///
/// # Errors
/// If it is one, and has no bootstrap, or one that does not match.
pub fn inline_bootstrap(blob: &dyn ReadAt) -> Result<Option<Bytes>, OpenError> {
    let length = blob.length();
    let tail = blob.read_at(length.saturating_sub(TOC_TAIL), length.min(TOC_TAIL));
    let tail = tail.map_err(OpenError::read("the end of the blob"))?;
    let Ok(last) = section_before(&tail, length) else { return Ok(None) };
    let read = |section: &Section| {
        let what = "the bootstrap in the blob";
        blob.read_at(section.offset, section.size).map_err(OpenError::read(what))
    };
    match last.name {
        SectionName::Bootstrap => read(&last).map(Some),
        SectionName::Toc => {
            let (toc, _) = Toc::read(&tail, length)?;
            let Some(entry) = toc.get(SectionName::Bootstrap) else { return Ok(None) };
            Ok(Some(entry.open(&read(&entry.section)?)?.into()))
        }
        _ => Ok(None),
    }
}

/// Whether a file is a data blob with tar headers: what could have a bootstrap in it.
#[must_use]
pub fn has_sections(file: &File) -> bool {
    let Ok(length) = file.metadata().map(|metadata| metadata.len()) else { return false };
    // A tar header; its own bytes say the rest.
    let mut tail = [0; 512];
    let Some(at) = length.checked_sub(TAR_HEADER_SIZE) else { return false };
    file.read_exact_at(&mut tail, at).is_ok() && section_before(&tail, length).is_ok()
}

/// The file with the bootstrap, if `name` is a path of one, or of a folder that has one.
#[must_use]
pub fn bootstrap_at(name: &str) -> Option<PathBuf> {
    if let Some(path) = name.strip_prefix("bootstrap:") {
        return Some(path.into());
    }
    let path = Path::new(name);
    let inside = path.join("bootstrap");
    if inside.is_file() {
        return Some(inside);
    }
    is_image(path).then(|| path.to_owned())
}

/// Whether a file begins as a bootstrap does, or is a data blob with sections.
fn is_image(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let mut magic = [0; 4];
    let erofs = file.read_exact_at(&mut magic, rafs::ondisk::superblock::SUPERBLOCK_AT).is_ok()
        && u32::from_le_bytes(magic) == rafs::ondisk::superblock::MAGIC;
    erofs || has_sections(&file)
}
