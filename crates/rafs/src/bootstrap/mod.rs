//! The bootstrap, read: the tree, its attributes, and where each file's chunks lie.
//!
//! [`Bootstrap::parse`] checks the superblocks, the blob table and every row of the chunk table;
//! everything else is checked when it is asked for, so that opening a large image costs little.
//! Nothing panics, recurses, or allocates more than there are bytes, whatever the bytes are. What
//! can only be seen from all of the tree (cycles, counts, what overlaps) is what
//! [`Bootstrap::check`] sees.
//!
//! A bootstrap is believed because its digest stands in the manifest. The checks here are so that
//! a manifest by a stranger does no harm either.

mod check;
mod chunks;
mod data;
mod dir;
mod head;
mod inode;
mod walk;
mod xattr;

use std::sync::OnceLock;

use zerocopy::byteorder::little_endian::U32;

use crate::algorithm::{ChunkSize, Compressor, Digester};
use crate::blob::Blob;
use crate::chunk::ChunkInfo;
use crate::error::RafsError;
use crate::ondisk::inode::MAX_TARGET;
use crate::ondisk::superblock::{EXTENDED_AT, Extended, SUPERBLOCK_AT, Superblock, flags};
use crate::slice::{part, read, read_all};

pub use check::Report;
pub use chunks::{FileChunk, FileChunks};
pub use dir::{Directory, Dirent, Entries};
pub use inode::{FileType, Inode, Nid};
pub use walk::{Visit, Walk};
pub use xattr::{Xattr, Xattrs};

use chunks::Rows;
use head::Head;

/// A bootstrap over bytes that somebody else holds or that it owns: a slice, a `Bytes`, a mapped
/// file. Beside them it takes 8 bytes for each chunk.
#[derive(Clone)]
pub struct Bootstrap<B> {
    bytes: B,
    head: Head,
    /// Made when a file's chunks are asked for first; what is wrong with them stays wrong.
    rows: OnceLock<Result<Rows, RafsError>>,
}

impl<B> std::fmt::Debug for Bootstrap<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> Bootstrap<B> {
    /// Reads the superblocks and the tables.
    ///
    /// # Errors
    /// If this is no RAFS v6, one of a kind that is not read, or one whose tables cannot be.
    pub fn parse(bytes: B) -> Result<Self, RafsError> {
        let bootstrap = Self::parse_tree(bytes)?;
        bootstrap.rows()?;
        Ok(bootstrap)
    }

    /// As [`Self::parse`], but for the chunk table, which is read when a file's chunks are asked for
    /// first: what is then wrong with it is told for every file that has chunks. Takes the same
    /// time for any size of image.
    ///
    /// # Errors
    /// If this is no RAFS v6, or one of a kind that is not read.
    pub fn parse_tree(bytes: B) -> Result<Self, RafsError> {
        let head = Head::read(bytes.as_ref())?;
        Ok(Self { bytes, head, rows: OnceLock::new() })
    }

    fn rows(&self) -> Result<&Rows, RafsError> {
        let rows = self.rows.get_or_init(|| Rows::read(self.bytes(), &self.head));
        rows.as_ref().map_err(Clone::clone)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The bytes that it is over.
    pub const fn get_ref(&self) -> &B {
        &self.bytes
    }

    /// The superblocks as they stand there: EROFS', and what RAFS adds.
    ///
    /// # Errors
    /// If they are not there, which parsing has ruled out.
    pub fn superblocks(&self) -> Result<(&Superblock, &Extended), RafsError> {
        Ok((
            read(self.bytes(), SUPERBLOCK_AT, "superblock")?,
            read(self.bytes(), EXTENDED_AT, "extended superblock")?,
        ))
    }

    /// The root's number.
    pub const fn root(&self) -> Nid {
        Nid(self.head.root)
    }

    /// How many inodes the image says that it has: each name of a hard link may be counted.
    pub const fn inodes(&self) -> u64 {
        self.head.inodes
    }

    /// How files are cut.
    pub const fn chunk_size(&self) -> ChunkSize {
        self.head.chunk_size
    }

    /// How the image's chunks are compressed; each blob says it for its own.
    pub const fn compressor(&self) -> Compressor {
        self.head.compressor
    }

    /// What the chunks' digests are.
    pub const fn digester(&self) -> Digester {
        self.head.digester
    }

    /// The data blobs, by their number.
    pub fn blobs(&self) -> &[Blob] {
        &self.head.blobs
    }

    /// Whether some inode may have extended attributes.
    pub const fn has_xattrs(&self) -> bool {
        self.head.flags & flags::HAS_XATTR != 0
    }

    /// Whether every blob has a section of its chunks' digests.
    pub const fn has_inlined_digests(&self) -> bool {
        self.head.flags & flags::INLINED_DIGESTS != 0
    }

    /// How many chunks the chunk table has.
    pub fn chunk_count(&self) -> usize {
        self.rows().map_or(0, Rows::len)
    }

    /// A row of the chunk table; they are sorted by digest.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn chunk(&self, row: u32) -> Result<ChunkInfo, RafsError> {
        if row as usize >= self.rows()?.len() {
            let at = self.head.chunk_table.0;
            return Err(RafsError::corrupt("chunk table", at, "there is no such row"));
        }
        chunks::row(self.bytes(), &self.head, row)
    }

    /// The chunk of blob `blob` in whose blocks byte `offset` lies, uncompressed, if the image has
    /// one there. Chunks are looked for in the order of their numbers: where that is not the order
    /// in which they lie, one may not be found.
    ///
    /// # Errors
    /// If the chunk table cannot be read.
    pub fn chunk_at(&self, blob: u8, offset: u64) -> Result<Option<ChunkInfo>, RafsError> {
        chunks::at(self.bytes(), &self.head, self.rows()?, blob, offset)
    }

    /// The chunk that has the number `index` in blob `blob`, if the image has it.
    pub fn chunk_of(&self, blob: u8, index: u32) -> Option<ChunkInfo> {
        let row = self.rows().ok()?.find(self.bytes(), &self.head, blob, index).ok()??;
        self.chunk(row).ok()
    }

    /// What should be fetched first, in this order. The root alone means everything.
    pub fn prefetch(&self) -> impl Iterator<Item = Nid> {
        let (at, size) = self.head.prefetch;
        // It was read once already.
        let nids: &[U32] = read_all(self.bytes(), at, size, "prefetch table").unwrap_or(&[]);
        nids.iter().map(|nid| Nid(u64::from(nid.get()))).take_while(|nid| nid.0 != 0)
    }

    /// The inode with this number.
    ///
    /// # Errors
    /// If there is none, or one that cannot be.
    pub fn inode(&self, nid: Nid) -> Result<Inode, RafsError> {
        Inode::read(self.bytes(), &self.head, nid)
    }

    /// The entries of `inode`.
    ///
    /// # Errors
    /// If it is no directory.
    pub fn directory(&self, inode: &Inode) -> Result<Directory<'_>, RafsError> {
        if inode.file_type != FileType::Directory {
            return Err(RafsError::corrupt("inode", inode.tail_at(), "it is no directory"));
        }
        Ok(Directory::new(self.bytes(), *inode))
    }

    /// What `name` names in the directory `inode`.
    ///
    /// # Errors
    /// If it is no directory, or its blocks cannot be read.
    pub fn lookup(&self, inode: &Inode, name: &[u8]) -> Result<Option<Dirent<'_>>, RafsError> {
        self.directory(inode)?.lookup(name)
    }

    /// Where the symbolic link `inode` leads.
    ///
    /// # Errors
    /// If it is none, or its target is empty, too long or has a NUL.
    pub fn target(&self, inode: &Inode) -> Result<&[u8], RafsError> {
        let bad = |why| RafsError::corrupt("inode", inode.tail_at(), why);
        if inode.file_type != FileType::Symlink {
            return Err(bad("it is no symbolic link"));
        }
        if inode.size == 0 || inode.size > MAX_TARGET {
            return Err(bad("its target is empty or too long"));
        }
        let target = data::block(self.bytes(), inode, 0)?;
        if target.contains(&0) {
            return Err(bad("its target has a NUL in it"));
        }
        Ok(target)
    }

    /// The extended attributes of `inode`.
    ///
    /// # Errors
    /// If there are shared ones.
    pub fn xattrs(&self, inode: &Inode) -> Result<Xattrs<'_>, RafsError> {
        let (at, size) = (inode.xattrs_at, inode.xattrs_size);
        Xattrs::read(part(self.bytes(), at, size, "extended attributes")?, at)
    }

    /// The chunks of the regular file `inode`.
    ///
    /// # Errors
    /// If it is none, or cut in an unknown way.
    pub fn chunks(&self, inode: &Inode) -> Result<FileChunks<'_>, RafsError> {
        FileChunks::read(self.bytes(), &self.head, self.rows()?, inode)
    }
}
