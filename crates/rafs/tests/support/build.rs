//! Makes an image of a tree with its files' bytes, as a converter would, in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rafs::codec::Encoder;
use rafs::write::{BlobOptions, BlobWriter, Finished, Given};
use rafs::{ChunkDigest, ChunkId, ChunkInfo, ChunkSize, Compressor, Content, Digester, Image};
use tree::{Inode, InodeId, Kind, Meta, Tree};

/// How the image is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub chunk_size: ChunkSize,
    pub compressor: Compressor,
    pub digester: Digester,
    pub batch_size: Option<ChunkSize>,
    pub contents: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk_size: ChunkSize::new(4096).unwrap(),
            compressor: Compressor::Zstd,
            digester: Digester::Sha256,
            batch_size: None,
            contents: true,
        }
    }
}

/// An image, its one blob, and that in uncompressed address space.
pub struct Built {
    pub image: Image,
    pub blob: Bytes,
    pub device: Vec<u8>,
    pub finished: Option<Finished>,
}

pub fn build(tree: &Tree<Vec<u8>>, options: Options) -> Built {
    let encoder = || Encoder::new(options.compressor, options.digester, Encoder::LEVEL).unwrap();
    let mut chunks = encoder();
    let mut writer = BlobWriter::new(
        BlobOptions {
            number: 0,
            chunk_size: options.chunk_size,
            batch_size: options.batch_size,
            contents: options.contents,
            inline_bootstrap: false,
        },
        encoder(),
    );
    let mut out = Vec::new();
    let mut known: HashMap<ChunkDigest, Given> = HashMap::new();
    let mut plain: Vec<Vec<u8>> = Vec::new();
    let tree = tree.clone().try_map(|_, bytes| {
        let cut = options.chunk_size.bytes() as usize;
        let ids = bytes.chunks(cut).map(|chunk| {
            let digest = options.digester.digest(chunk);
            let given = *known.entry(digest).or_insert_with(|| {
                plain.push(chunk.to_vec());
                if bytes.len() <= cut && writer.is_small(chunk.len()) {
                    return writer.push_small(chunk, digest, &mut out).unwrap();
                }
                let encoded = chunks.encode(Bytes::copy_from_slice(chunk)).unwrap();
                writer.push(encoded, &mut out).unwrap()
            });
            ChunkId(given.0)
        });
        Ok::<_, ()>(Content { chunks: ids.collect(), size: bytes.len() as u64 })
    });
    let empty = writer.is_empty();
    let tail = writer.finish_chunks(&mut out).unwrap();
    let finished = tail.finish(None, &mut out).unwrap();
    let finished = (!empty).then_some(finished);
    let mut image = Image {
        tree: tree.unwrap(),
        chunks: finished.as_ref().map(|blob| blob.chunks.clone()).unwrap_or_default(),
        blobs: finished.iter().map(|blob| blob.blob.clone()).collect(),
        chunk_size: options.chunk_size,
        compressor: options.compressor,
        digester: options.digester,
        inlined_digests: options.contents,
        prefetch: Vec::new(),
    };
    image.prefetch = image.tree.inodes().map(|(id, _)| id).take(3).collect();
    let device = device(&image, &plain);
    Built { image, blob: out.concat().into(), device, finished }
}

fn device(image: &Image, plain: &[Vec<u8>]) -> Vec<u8> {
    let size = image.blobs.first().map_or(0, |blob| blob.uncompressed_size);
    let mut device = vec![0; usize::try_from(size).unwrap()];
    for (chunk, bytes) in image.chunks.iter().zip(plain) {
        let at = usize::try_from(chunk.uncompressed_offset).unwrap();
        device[at..at + bytes.len()].copy_from_slice(bytes);
    }
    device
}

/// What a tree says of one path.
#[derive(PartialEq, Eq, Debug)]
pub struct Said {
    pub meta: Meta,
    pub links: u32,
    /// The first path of the same inode: who is linked with whom.
    pub first: Vec<u8>,
    pub kind: Kind<Vec<ChunkInfo>>,
}

/// All that an image's tree says, by path. Directories are compared by the paths in them.
pub fn said(image: &Image) -> BTreeMap<Vec<u8>, Said> {
    let mut all = BTreeMap::new();
    let mut firsts: HashMap<InodeId, Vec<u8>> = HashMap::new();
    let mut walk = image.tree.walk();
    while let Some(visit) = walk.next() {
        let path = walk.path_bytes().to_vec();
        let kind = match visit.inode.kind() {
            Kind::Directory(_) => {
                Inode::<()>::directory(Meta::default()).kind().clone().into_chunks()
            }
            Kind::File(content) => {
                Kind::File(content.chunks.iter().map(|id| image.chunks[id.0 as usize]).collect())
            }
            Kind::Symlink(target) => Kind::Symlink(target.clone()),
            Kind::CharDevice(device) => Kind::CharDevice(*device),
            Kind::BlockDevice(device) => Kind::BlockDevice(*device),
            Kind::Fifo => Kind::Fifo,
            Kind::Socket => Kind::Socket,
        };
        let first = firsts.entry(visit.id).or_insert_with(|| path.clone()).clone();
        let links = if visit.inode.is_directory() { 0 } else { visit.inode.links() };
        all.insert(path, Said { meta: visit.inode.meta.clone(), links, first, kind });
    }
    all
}

/// A directory without what is in it.
trait IntoChunks {
    fn into_chunks(self) -> Kind<Vec<ChunkInfo>>;
}

impl IntoChunks for Kind<()> {
    fn into_chunks(self) -> Kind<Vec<ChunkInfo>> {
        match self {
            Self::Directory(directory) => Kind::Directory(directory),
            _ => Kind::Fifo,
        }
    }
}
