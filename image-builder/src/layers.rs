//! The tree of an ordinary image: its layers, stacked. A file's content is its chunks' digests, so
//! that it can be compared with a chunked image's without keeping a byte.

use std::io::{self, Read};

use layer::{FileData, Options, ReadError, read_layer};
use rafs::{ChunkDigest, ChunkSize, Digester};
use tree::{Layer, StackError, Tree};

use crate::oci::Manifest;
use crate::store::{Store, StoreError};

/// What a file is made of, without saying where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashed {
    /// Its length in bytes.
    pub size: u64,
    /// The digests of its chunks, in order.
    pub chunks: Box<[ChunkDigest]>,
}

/// Why layers make no tree.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// One cannot be read.
    #[error("layer {number} cannot be read")]
    Read {
        /// Which, from 1 at the bottom.
        number: usize,
        /// Why not.
        #[source]
        error: Box<ReadError<io::Error>>,
    },
    /// One is not what the manifest says.
    #[error("layer {number} cannot be read to its end")]
    End {
        /// Which, from 1 at the bottom.
        number: usize,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Where the image is says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One does not fit those under it.
    #[error("layer {number} does not fit the ones under it")]
    Stack {
        /// Which, from 1 at the bottom.
        number: usize,
        /// Why not.
        #[source]
        error: StackError,
    },
}

/// The tree of the image that `manifest` is of, with files cut and hashed so.
///
/// # Errors
/// If a layer cannot be read, is not what the manifest says, or does not fit the ones under it.
pub fn tree_of(
    store: &dyn Store,
    manifest: &Manifest,
    options: &Options,
    cut: ChunkSize,
    digester: Digester,
) -> Result<Tree<Hashed>, LayersError> {
    let mut tree = Tree::default();
    for (number, layer) in (1..).zip(&manifest.layers) {
        let mut stored = store.read_blob(layer)?;
        let read = read(&mut stored, options, cut, digester);
        let upper = read.map_err(|error| LayersError::Read { number, error: Box::new(error) })?;
        // What comes behind the archive has its say in the layer's digest.
        stored.drain().map_err(|error| LayersError::End { number, error })?;
        tree = put_on(tree, upper, number)?;
    }
    Ok(tree)
}

/// Reads one layer; a file's bytes are hashed as they come by.
///
/// # Errors
/// If the layer is refused.
pub fn read(
    input: impl Read,
    options: &Options,
    cut: ChunkSize,
    digester: Digester,
) -> Result<Layer<Hashed>, ReadError<io::Error>> {
    let mut buffer = vec![0; cut.bytes() as usize];
    read_layer(input, options, |_, data| hash(data, &mut buffer, digester))
}

fn hash(data: &mut FileData<'_>, buffer: &mut [u8], digester: Digester) -> io::Result<Hashed> {
    let size = data.size();
    let mut chunks = Vec::new();
    loop {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match data.read(rest)? {
                0 => break,
                read => filled = filled.saturating_add(read),
            }
        }
        match buffer.get(..filled) {
            Some(chunk) if !chunk.is_empty() => chunks.push(digester.digest(chunk)),
            _ => return Ok(Hashed { size, chunks: chunks.into() }),
        }
    }
}

/// Puts a layer upon those under it. `number` is for errors.
///
/// # Errors
/// If it does not fit them.
pub fn put_on(
    lower: Tree<Hashed>,
    upper: Layer<Hashed>,
    number: usize,
) -> Result<Tree<Hashed>, LayersError> {
    tree::stack(lower, upper).map_err(|error| LayersError::Stack { number, error })
}
