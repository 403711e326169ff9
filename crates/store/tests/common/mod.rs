//! Blobs, books and pieces for the store's tests.
#![allow(dead_code, missing_docs, unreachable_pub)] // each test binary uses a part of it

use std::path::Path;

use bytes::Bytes;
use content::statement::Said;
use content::{
    BlobHasher, Digest, Layout, PieceBook, PieceDigest, PieceIndex, Provisional, SignedStatement,
    Signer, Statement, TaskId, Unverified, Verified, Whole,
};
use store::{Store, StoreConfig};

pub const PIECE: usize = 64 * 1024;

/// A blob, and all that a supernode would say of it.
#[derive(Clone, Debug)]
pub struct Blob {
    pub bytes: Bytes,
    pub id: TaskId,
    pub layout: Layout,
    pub statement: Statement,
    pub signed: SignedStatement,
    pub book: PieceBook,
}

impl Blob {
    /// A blob of `length` bytes that `seed` tells from others.
    pub fn new(seed: u64, length: usize) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes = vec![0_u8; length];
        for word in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
        }
        let bytes = Bytes::from(bytes);
        let layout = Layout::told(length as u64, PIECE as u64).expect("within bounds");
        let id = TaskId::Blob(Digest::of(&bytes));
        let said = Said {
            task: id,
            layout,
            whole: true,
            media_type: "test/blob".into(),
            first: 0,
            digests: bytes.chunks(PIECE).map(PieceDigest::of).collect(),
        };
        let signer = Signer::from_seed(&[1; 32]).expect("32 bytes");
        let (statement, signed) = Statement::sign(said, &signer);
        let book = PieceBook::of(&statement);
        Self { bytes, id, layout, statement, signed, book }
    }

    pub fn raw(&self, index: PieceIndex) -> Bytes {
        let start = index as usize * PIECE;
        let end = (start + PIECE).min(self.bytes.len());
        self.bytes.slice(start..end)
    }

    pub fn piece(&self, index: PieceIndex) -> Verified {
        let bytes = Unverified::new(self.raw(index));
        self.book.verify(index, bytes).expect("true bytes")
    }

    pub fn provisional(&self, index: PieceIndex) -> Provisional {
        let bytes = Unverified::new(self.raw(index));
        Provisional::new(self.id, self.layout, index, bytes).expect("it has the length")
    }

    pub fn whole(&self) -> Whole {
        let mut hasher = BlobHasher::new();
        hasher.update(&self.bytes);
        Whole::prove(self.id, None, self.layout.length(), hasher).expect("true bytes")
    }

    /// A book that knows no digest.
    pub fn empty_book(&self) -> PieceBook {
        PieceBook::new(self.id, self.layout)
    }
}

pub fn config(dir: &Path, quota_bytes: u64) -> StoreConfig {
    StoreConfig { quota_bytes, reserve_bytes: Some(0), ..StoreConfig::new(dir) }
}

pub fn open(dir: &Path) -> Store {
    Store::open(config(dir, 1 << 40)).expect("the store opens")
}

/// The files under `tasks`, by name.
pub fn files(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in std::fs::read_dir(dir.join("tasks")).expect("it is there") {
        let folder = folder.expect("readable").path();
        for file in std::fs::read_dir(folder).expect("a folder") {
            let name = file.expect("readable").file_name();
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    names
}

/// The path of a task's file.
pub fn path(dir: &Path, id: &TaskId, extension: &str) -> std::path::PathBuf {
    let text = id.to_string();
    let (kind, encoded) = text.split_once(':').expect("kind and name");
    let kind = if kind == "sha256" { "blob" } else { "url" };
    let name = format!("{kind}-{encoded}.{extension}");
    dir.join("tasks").join(&encoded[..2]).join(name)
}
