//! Whatever the bytes are: nothing panics, nothing goes on without end, and what is wrong is said.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::mem::offset_of;

use rafs::bootstrap::Nid;
use rafs::ondisk::blob::{BlobEntry, features};
use rafs::ondisk::chunk::{ChunkRow, flags as chunk_flags};
use rafs::ondisk::inode::ExtendedInode;
use rafs::ondisk::superblock::{EXTENDED_AT, Extended, SUPERBLOCK_AT, Superblock, flags};
use rafs::{Bootstrap, RafsError, Unsupported};
use support::{exercise, small};

/// A bootstrap to be spoilt.
struct Spoilt(Vec<u8>);

impl Spoilt {
    fn new() -> Self {
        let bytes = small::image(true).image.write().unwrap();
        exercise::bootstrap(&bytes).unwrap();
        Self(bytes)
    }

    fn bootstrap(&self) -> Bootstrap<&[u8]> {
        Bootstrap::parse(&self.0[..]).unwrap()
    }

    fn u32(&self, at: u64) -> u32 {
        let at = usize::try_from(at).unwrap();
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn put(mut self, at: u64, bytes: &[u8]) -> Self {
        let at = usize::try_from(at).unwrap();
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn set(self, at: u64, bits: u32) -> Self {
        let now = self.u32(at) | bits;
        self.put(at, &now.to_le_bytes())
    }

    fn error(&self) -> RafsError {
        exercise::bootstrap(&self.0).unwrap_err()
    }

    /// Where the tables lie: of blobs, of chunks.
    fn tables(&self) -> (u64, u64) {
        let field = |at: usize| u64::from(self.u32(EXTENDED_AT + at as u64));
        (field(offset_of!(Extended, blob_table_at)), field(offset_of!(Extended, chunk_table_at)))
    }

    fn nid(&self, path: &[&str]) -> Nid {
        let bootstrap = self.bootstrap();
        let mut at = bootstrap.root();
        for name in path {
            let inode = bootstrap.inode(at).unwrap();
            at = bootstrap.lookup(&inode, name.as_bytes()).unwrap().unwrap().nid;
        }
        at
    }

    /// Where an inode lies. The metadata area begins one block before the root, which is nid 128.
    fn at(&self, nid: Nid) -> u64 {
        let meta = u64::from(self.u32(SUPERBLOCK_AT + offset_of!(Superblock, meta_block) as u64));
        meta * 4096 + nid.0 * 32
    }

    /// Where in the metadata these bytes first stand.
    fn find(&self, bytes: &[u8]) -> u64 {
        self.0.windows(bytes.len()).rposition(|part| part == bytes).unwrap() as u64
    }
}

fn corrupt(error: &RafsError) -> &'static str {
    match error {
        RafsError::Corrupt { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[test]
fn every_flipped_bit_is_read_or_refused() {
    let good = small::image(true).image.write().unwrap();
    let mut bytes = good.clone();
    let mut refused = 0;
    for at in 0..bytes.len() {
        // Far from anything, a bit is padding: the checks alone will do.
        let near = at.saturating_sub(100)..(at + 100).min(good.len());
        let padding = good[near].iter().all(|byte| *byte == 0);
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let read = if padding {
                Bootstrap::parse(&bytes[..]).and_then(|read| read.check()).map(|_| ())
            } else {
                exercise::bootstrap(&bytes)
            };
            refused += usize::from(read.is_err());
            bytes[at] ^= 1 << bit;
        }
    }
    assert_eq!(bytes, good);
    // A small bootstrap is mostly padding, attributes and times; what is not is mostly structure.
    assert!(refused > 5000, "{refused}");
}

#[test]
fn every_shorter_bootstrap_is_refused() {
    let spoilt = Spoilt::new();
    let rows = spoilt.bootstrap().chunk_count() * size_of::<ChunkRow>();
    let end = usize::try_from(spoilt.tables().1).unwrap() + rows;
    for length in 0..spoilt.0.len() {
        assert_eq!(exercise::bootstrap(&spoilt.0[..length]).is_err(), length < end, "{length}");
    }
}

#[test]
fn every_flipped_bit_of_a_blob_is_harmless() {
    for batched in [false, true] {
        let built = small::image(batched);
        let bootstrap = built.image.write().unwrap();
        let mut blob = built.blob.to_vec();
        for bit in 0..blob.len() * 8 {
            blob[bit / 8] ^= 1 << (bit % 8);
            exercise::blob(&bootstrap, &blob);
            blob[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..blob.len() {
            exercise::blob(&bootstrap, &blob[..length]);
        }
    }
}

#[test]
fn what_is_not_read_is_recognised() {
    let extended = |field: usize| EXTENDED_AT + field as u64;
    let superblock = |field: usize| SUPERBLOCK_AT + field as u64;
    let (blobs, chunks) = Spoilt::new().tables();
    let feature = blobs + offset_of!(BlobEntry, features) as u64;
    let row = chunks + offset_of!(ChunkRow, flags) as u64;
    let flag = |bits: u64| {
        let at = extended(offset_of!(Extended, flags));
        Spoilt::new().set(at, u32::try_from(bits).unwrap())
    };
    let no_magic = Spoilt::new().put(superblock(0), &[0; 4]);
    let v5 = Spoilt::new().put(superblock(0), &[0; 4]).put(0, b"SFAR");
    assert!(matches!(no_magic.error(), RafsError::NotRafs(_)));
    let expected = [
        (v5, Unsupported::Version5),
        (flag(flags::TARFS), Unsupported::Tarfs),
        (flag(flags::ENCRYPT_AES_128_XTS), Unsupported::Encrypted),
        (flag(1 << 20), Unsupported::Feature),
        (Spoilt::new().put(superblock(12), &[9]), Unsupported::BlockSize),
        (Spoilt::new().set(superblock(80), 1), Unsupported::Feature),
        (Spoilt::new().set(superblock(44), 1), Unsupported::SharedXattrs),
        (Spoilt::new().set(feature, features::ZRAN), Unsupported::Zran),
        (Spoilt::new().set(feature, features::ENCRYPTED), Unsupported::Encrypted),
        (Spoilt::new().set(feature, features::TARFS), Unsupported::Tarfs),
        (Spoilt::new().set(feature, features::EXTERNAL), Unsupported::External),
        (Spoilt::new().set(feature, features::SEPARATE), Unsupported::Separate),
        (Spoilt::new().set(feature, 0x8000), Unsupported::Feature),
        (Spoilt::new().put(blobs, b"not a digest"), Unsupported::BlobId),
        (Spoilt::new().set(row, chunk_flags::HOLE), Unsupported::Holes),
        (Spoilt::new().set(row, chunk_flags::ENCRYPTED), Unsupported::Encrypted),
    ];
    for (spoilt, why) in expected {
        assert_eq!(spoilt.error(), RafsError::Unsupported(why));
    }
    let gzip = Spoilt::new().put(blobs + offset_of!(BlobEntry, compressor) as u64, &[2]);
    assert_eq!(gzip.error(), RafsError::Unsupported(Unsupported::Gzip));
}

#[test]
fn a_tree_in_circles_is_refused() {
    let spoilt = Spoilt::new();
    let (one, inner) = (spoilt.nid(&["one"]), spoilt.nid(&["one", "inner"]));
    // `one/inner` is `one` again.
    let at = usize::try_from(spoilt.at(one)).unwrap();
    let names = spoilt.0[at..].windows(8).position(|part| part == inner.0.to_le_bytes()).unwrap();
    let at = (at + names) as u64;
    let circle = spoilt.put(at, &one.0.to_le_bytes());
    assert!(circle.bootstrap().walk().count() < 20);
    assert!(corrupt(&circle.error()).contains("more than one place"));
}

#[test]
fn a_directory_in_two_places_is_refused() {
    let spoilt = Spoilt::new();
    let (one, two) = (spoilt.nid(&["one"]), spoilt.nid(&["two"]));
    let root = usize::try_from(spoilt.at(spoilt.nid(&[]))).unwrap();
    let at = spoilt.0[root..].windows(8).position(|part| part == two.0.to_le_bytes()).unwrap();
    let twice = spoilt.put((root + at) as u64, &one.0.to_le_bytes());
    assert!(corrupt(&twice.error()).contains("more than one place"));
}

#[test]
fn names_out_of_order_are_refused() {
    let spoilt = Spoilt::new();
    let at = spoilt.find(b"symlinktwo");
    let error = spoilt.put(at, b"a").error();
    assert!(corrupt(&error).contains("not sorted"), "{error}");
    let spoilt = Spoilt::new();
    let at = spoilt.find(b"symlinktwo");
    assert!(corrupt(&spoilt.put(at, b"/").error()).contains('/'));
}

#[test]
fn counts_that_are_not_true_are_refused() {
    let inode =
        |spoilt: &Spoilt, name: &str, field: usize| spoilt.at(spoilt.nid(&[name])) + field as u64;
    let spoilt = Spoilt::new();
    let at = inode(&spoilt, "file", offset_of!(ExtendedInode, nlink));
    assert!(corrupt(&spoilt.put(at, &[3]).error()).contains("count of names"));
    let spoilt = Spoilt::new();
    let at = SUPERBLOCK_AT + offset_of!(Superblock, inodes) as u64;
    assert!(corrupt(&spoilt.put(at, &[200]).error()).contains("count of inodes"));
    // A file that is longer or shorter than its chunks.
    for size in [11_999_u32, 12_001, u32::MAX] {
        let spoilt = Spoilt::new();
        let at = inode(&spoilt, "file", offset_of!(ExtendedInode, size));
        spoilt.put(at, &size.to_le_bytes()).error();
    }
    // A file without end.
    let spoilt = Spoilt::new();
    let at = inode(&spoilt, "file", offset_of!(ExtendedInode, size));
    spoilt.put(at, &u64::MAX.to_le_bytes()).error();
    // A directory without end.
    let spoilt = Spoilt::new();
    let at = inode(&spoilt, "one", offset_of!(ExtendedInode, size));
    spoilt.put(at, &u64::MAX.to_le_bytes()).error();
}

#[test]
fn compression_info_is_no_longer_than_its_chunks_need() {
    let field = |name: usize| Spoilt::new().tables().0 + name as u64;
    let chunks = u64::from(Spoilt::new().u32(field(offset_of!(BlobEntry, chunks))));
    let (plain, stored) = (
        field(offset_of!(BlobEntry, ci_uncompressed_size)),
        field(offset_of!(BlobEntry, ci_compressed_size)),
    );
    // For each chunk an entry of 24 bytes and a batch of 40, and a block between them.
    let most = 64 * chunks + 4096;
    for size in [most + 1, 32 << 30, 1 << 40, u64::MAX] {
        let longer = Spoilt::new().put(plain, &size.to_le_bytes());
        assert!(corrupt(&longer.error()).contains("cannot be so long"), "{size}");
        // Stored in as many bytes, too.
        let both = Spoilt::new().put(plain, &size.to_le_bytes()).put(stored, &size.to_le_bytes());
        assert!(corrupt(&both.error()).contains("cannot be so long"), "{size}");
    }
    let shorter = Spoilt::new().put(plain, &(24 * chunks - 1).to_le_bytes());
    assert!(corrupt(&shorter.error()).contains("cannot be so long"));
}

#[test]
fn a_chunk_table_that_is_not_true_is_refused() {
    let (_, table) = Spoilt::new().tables();
    let row = |number: u64, field: usize| table + number * 80 + field as u64;
    // Not sorted: the first digest becomes the highest.
    assert!(corrupt(&Spoilt::new().put(row(0, 0), &[0xff; 32]).error()).contains("not sorted"));
    // The same chunk twice.
    let spoilt = Spoilt::new();
    let index = spoilt.u32(row(0, offset_of!(ChunkRow, index)));
    let twice = spoilt.put(row(1, offset_of!(ChunkRow, index)), &index.to_le_bytes());
    assert!(corrupt(&twice.error()).contains("twice"));
    // Two chunks at one place.
    let spoilt = Spoilt::new();
    let place = spoilt.u32(row(0, offset_of!(ChunkRow, uncompressed_offset)));
    let other = row(1, offset_of!(ChunkRow, uncompressed_offset));
    assert!(corrupt(&spoilt.put(other, &place.to_le_bytes()).error()).contains("overlap"));
    // Outside of the blob.
    for field in [offset_of!(ChunkRow, uncompressed_offset), offset_of!(ChunkRow, blob)] {
        let error = Spoilt::new().put(row(0, field) + 3, &[0x7f]).error();
        assert!(corrupt(&error).contains("no such blob") || corrupt(&error).contains("cannot lie"));
    }
}
