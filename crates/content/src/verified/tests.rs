//! What is checked, and what a lie comes to.

use bytes::Bytes;

use super::*;
use crate::digest::{BlobHasher, Digest};
use crate::piece::{GROUP, PieceDigest, PieceProof};
use crate::sign::Signer;
use crate::statement::{Said, Statement};

const LENGTH: u64 = 40 << 20;

fn blob() -> Vec<u8> {
    (0..LENGTH).map(|i| (i * 7 % 253) as u8).collect()
}

fn book(blob: &[u8]) -> PieceBook {
    let layout = Layout::for_length(blob.len() as u64).expect("within bounds");
    let size = usize::try_from(layout.piece_size().bytes()).expect("small");
    let said = Said {
        task: TaskId::Blob(Digest::of(blob)),
        layout,
        whole: false,
        media_type: String::new(),
        first: 0,
        digests: blob.chunks(size).map(PieceDigest::of).collect(),
    };
    let signer = Signer::from_seed(&[3; 32]).expect("32 bytes");
    PieceBook::of(&Statement::sign(said, &signer).0)
}

fn piece(blob: &[u8], book: &PieceBook, index: u32) -> Bytes {
    let extent = book.layout().extent(index).expect("in the task");
    let range =
        usize::try_from(extent.start).expect("small")..usize::try_from(extent.end).expect("small");
    Bytes::copy_from_slice(&blob[range])
}

#[test]
fn a_piece_is_verified_only_in_its_own_place() {
    let blob = blob();
    let book = book(&blob);
    let bytes = piece(&blob, &book, 3);
    assert!(book.verify(3, Unverified::new(bytes.clone())).is_ok());
    let elsewhere = book.verify(4, Unverified::new(bytes.clone())).err();
    assert_eq!(elsewhere, Some(Mismatch::Bytes(4)));
    let short = book.verify(3, Unverified::new(bytes.slice(1..))).err();
    assert!(matches!(short, Some(Mismatch::Length { .. })));
}

#[test]
fn a_lie_is_found_within_its_group_and_no_more_is_taken() {
    let blob = blob();
    let book = book(&blob);
    let bytes = piece(&blob, &book, 0);
    let mut receiving = book.receive(0, PieceProof::of(&bytes)).expect("a true proof");
    receiving.push(&Unverified::new(bytes.slice(..GROUP))).expect("true bytes");
    let lie = Unverified::new(Bytes::from(vec![0; GROUP]));
    assert_eq!(receiving.push(&lie), Err(Mismatch::Bytes(0)));
    let other = PieceProof::of(&vec![0; bytes.len()]);
    assert_eq!(book.receive(0, other).err(), Some(Mismatch::Proof(0)));
}

#[test]
fn too_many_and_too_few_bytes_are_no_piece() {
    let blob = blob();
    let book = book(&blob);
    let bytes = piece(&blob, &book, 0);
    let mut receiving = book.receive(0, PieceProof::of(&bytes)).expect("a true proof");
    for part in bytes.chunks(10_000) {
        receiving.push(&Unverified::new(Bytes::copy_from_slice(part))).expect("true bytes");
    }
    let more = receiving.push(&Unverified::new(Bytes::from_static(b"x")));
    assert!(matches!(more, Err(Mismatch::Length { .. })));
    assert_eq!(receiving.finish().expect("whole").bytes(), &bytes);
    let empty = book.receive(0, PieceProof::of(&bytes)).expect("a true proof");
    assert!(matches!(empty.finish(), Err(Mismatch::Length { .. })));
}

#[test]
fn a_whole_is_what_its_name_says() {
    let task = TaskId::Blob(Digest::of(b"abc"));
    let mut hasher = BlobHasher::new();
    hasher.update(b"abc");
    assert!(Whole::prove(task, None, 3, hasher.clone()).is_ok());
    assert!(Whole::prove(task, None, 4, hasher.clone()).is_err());
    let other = Whole::prove(task, Some(Digest::of(b"x")), 3, hasher);
    assert!(matches!(other, Err(Mismatch::Whole { .. })));
}
