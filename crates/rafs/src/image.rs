//! A whole image in memory, as it is built, merged or compared: a tree whose files name chunks.

use std::collections::HashMap;

use tree::{Device, InodeId, Kind, Meta, Mode, Name, Time, Tree};

use crate::algorithm::{ChunkSize, Compressor, Digester};
use crate::blob::Blob;
use crate::bootstrap::{Bootstrap, FileType, Inode, Nid};
use crate::chunk::ChunkInfo;
use crate::error::RafsError;

/// A chunk's place in [`Image::chunks`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChunkId(pub u32);

/// What a regular file is made of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Content {
    /// Its length in bytes.
    pub size: u64,
    /// Its chunks, in order: each of the image's chunk size, the last one of the rest.
    pub chunks: Box<[ChunkId]>,
}

/// A whole image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The tree.
    pub tree: Tree<Content>,
    /// The chunks that files name, and perhaps others: only those that are named are written.
    pub chunks: Vec<ChunkInfo>,
    /// The data blobs, by their number.
    pub blobs: Vec<Blob>,
    /// How files are cut.
    pub chunk_size: ChunkSize,
    /// How chunks are compressed.
    pub compressor: Compressor,
    /// What digests are.
    pub digester: Digester,
    /// Whether every blob has a section of its chunks' digests.
    pub inlined_digests: bool,
    /// What to fetch first, in this order; the root alone means everything.
    pub prefetch: Vec<InodeId>,
}

impl<B: AsRef<[u8]>> Bootstrap<B> {
    /// All of the image. Takes memory by its size; [`Bootstrap::walk`] does not.
    ///
    /// # Errors
    /// If [`Bootstrap::check`] finds something wrong, or a name is not one.
    pub fn image(&self) -> Result<Image, RafsError> {
        self.check()?;
        let mut chunks = Vec::with_capacity(self.chunk_count());
        for row in (0..).take(self.chunk_count()) {
            chunks.push(self.chunk(row)?);
        }
        let (tree, ids) = self.tree()?;
        Ok(Image {
            tree,
            chunks,
            blobs: self.blobs().to_vec(),
            chunk_size: self.chunk_size(),
            compressor: self.compressor(),
            digester: self.digester(),
            inlined_digests: self.has_inlined_digests(),
            prefetch: self.prefetch().filter_map(|nid| ids.get(&nid).copied()).collect(),
        })
    }

    fn tree(&self) -> Result<(Tree<Content>, HashMap<Nid, InodeId>), RafsError> {
        let mut tree = Tree::new(Meta::default());
        let mut ids = HashMap::new();
        for visit in self.walk() {
            let visit = visit?;
            let at = visit.inode.tail_at();
            let bad = |why| move |_| RafsError::corrupt("inode", at, why);
            if visit.name.is_empty() {
                if let Some(root) = tree.get_mut(InodeId::ROOT) {
                    root.meta = self.meta(&visit.inode)?;
                }
                ids.insert(visit.inode.nid, InodeId::ROOT);
                continue;
            }
            let parent = ids.get(&visit.parent).copied().unwrap_or(InodeId::ROOT);
            let name = Name::new(visit.name).map_err(|_| bad("its name is none")(()))?;
            if let Some(id) = ids.get(&visit.inode.nid) {
                tree.link(parent, name, *id).map_err(|_| bad("it cannot be linked")(()))?;
                continue;
            }
            let inode = self.tree_inode(&visit.inode)?;
            let id = tree.insert(parent, name, inode);
            ids.insert(visit.inode.nid, id.map_err(|_| bad("it has no place")(()))?);
        }
        Ok((tree, ids))
    }

    /// Mode, owner, time and extended attributes of `inode`.
    ///
    /// # Errors
    /// If its extended attributes cannot be read.
    pub fn meta(&self, inode: &Inode) -> Result<Meta, RafsError> {
        let xattrs = self
            .xattrs(inode)?
            .map(|xattr| xattr.map(|xattr| (xattr.name.into_owned(), xattr.value.to_vec())));
        Ok(Meta {
            mode: Mode::new(inode.permissions),
            uid: inode.uid,
            gid: inode.gid,
            mtime: Time::new(inode.mtime, inode.mtime_nsec).unwrap_or_default(),
            xattrs: xattrs.collect::<Result<_, _>>()?,
        })
    }

    fn tree_inode(&self, inode: &Inode) -> Result<tree::Inode<Content>, RafsError> {
        let meta = self.meta(inode)?;
        let (major, minor) = inode.device().unwrap_or_default();
        let device = Device { major, minor };
        Ok(match inode.file_type {
            FileType::Directory => tree::Inode::directory(meta),
            FileType::Regular => {
                let chunks = self.chunks(inode)?;
                let ids = chunks.iter().map(|chunk| chunk.map(|chunk| ChunkId(chunk.row)));
                let chunks = ids.collect::<Result<_, _>>()?;
                tree::Inode::file(meta, Content { size: inode.size, chunks })
            }
            FileType::Symlink => tree::Inode::symlink(meta, self.target(inode)?),
            FileType::Character => tree::Inode::char_device(meta, device),
            FileType::Block => tree::Inode::block_device(meta, device),
            FileType::Fifo => tree::Inode::fifo(meta),
            FileType::Socket => tree::Inode::socket(meta),
        })
    }
}

/// What kind of file an inode of a tree is.
pub(crate) const fn file_type(inode: &tree::Inode<Content>) -> FileType {
    match inode.kind() {
        Kind::Directory(_) => FileType::Directory,
        Kind::File(_) => FileType::Regular,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::CharDevice(_) => FileType::Character,
        Kind::BlockDevice(_) => FileType::Block,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
    }
}
