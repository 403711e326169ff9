//! The merkle root of a bootstrap's tree.

use std::collections::HashMap;

use content::Digest;
use merkle::{Algorithm, FileContent, Fold, What};
use rafs::bootstrap::{FileType, Inode, Nid, Visit};
use rafs::{Bootstrap, Digester, RafsError};
use tree::Device;

/// The root, read off the bootstrap without its tree in memory: what is held is a directory each
/// level, and the hash of each inode that has several names. The bootstrap must have passed
/// [`Bootstrap::check`]: counts of names are taken from there.
///
/// # Errors
/// If the metadata cannot be read.
pub fn root_of<B: AsRef<[u8]>>(bootstrap: &Bootstrap<B>) -> Result<Digest, RafsError> {
    let mut fold = Fold::default();
    let mut open: Vec<Nid> = Vec::new();
    let mut linked: HashMap<Nid, Digest> = HashMap::new();
    for visit in bootstrap.walk() {
        let visit = visit?;
        // What is not in the directory entered last comes after its end.
        while open.last().is_some_and(|nid| *nid != visit.parent && !visit.name.is_empty()) {
            fold.leave();
            open.pop();
        }
        let inode = &visit.inode;
        if inode.file_type == FileType::Directory {
            fold.enter(visit.name, bootstrap.meta(inode)?);
            open.push(inode.nid);
        } else if let Some(hash) = linked.get(&inode.nid) {
            fold.again(visit.name, hash);
        } else {
            let hash = leaf(bootstrap, &mut fold, &visit)?;
            if inode.nlink > 1 {
                linked.insert(inode.nid, hash);
            }
        }
    }
    open.iter().for_each(|_| fold.leave());
    let why = "there is no root";
    fold.root().ok_or(RafsError::Corrupt { what: "root", at: 0, why })
}

fn leaf<B: AsRef<[u8]>>(
    bootstrap: &Bootstrap<B>,
    fold: &mut Fold,
    visit: &Visit<'_>,
) -> Result<Digest, RafsError> {
    let inode = &visit.inode;
    let (major, minor) = inode.device().unwrap_or_default();
    let device = Device { major, minor };
    let what = match inode.file_type {
        FileType::Regular => What::File(content(bootstrap, inode)?),
        FileType::Symlink => What::Symlink(bootstrap.target(inode)?.to_vec()),
        FileType::Character => What::CharDevice(device),
        FileType::Block => What::BlockDevice(device),
        FileType::Socket => What::Socket,
        // A directory is entered and no leaf.
        FileType::Fifo | FileType::Directory => What::Fifo,
    };
    Ok(fold.leaf(visit.name, bootstrap.meta(inode)?, inode.nlink, what))
}

/// What a file's content is, by the digests of its chunks.
fn content<B: AsRef<[u8]>>(
    bootstrap: &Bootstrap<B>,
    inode: &Inode,
) -> Result<FileContent, RafsError> {
    let algorithm = match bootstrap.digester() {
        Digester::Sha256 => Algorithm::Sha256,
        Digester::Blake3 => Algorithm::Blake3,
    };
    let chunks = bootstrap.chunks(inode)?;
    let digests = chunks.iter().map(|chunk| chunk.map(|chunk| chunk.info.digest.0));
    let digests = digests.collect::<Result<Vec<_>, _>>()?;
    let content = FileContent::new(algorithm, bootstrap.chunk_size().bytes(), inode.size, digests);
    let why = "a file has not as many chunks as its length asks for";
    content.ok_or(RafsError::Corrupt { what: "chunk indexes", at: 0, why })
}
