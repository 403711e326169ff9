//! What the socket sends is what the answer's bytes are, wherever they lie.

use content::statement::Said;
use content::{Digest, Layout, PieceBook, PieceDigest, Signer, Statement, TaskId, Unverified};
use store::{Store, StoreConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PIECE: usize = 64 * 1024;
const PIECES: usize = 40;

/// A whole task in a store, and a client's connection.
struct Rig {
    _dir: TempDir,
    store: Store,
    id: TaskId,
    bytes: Vec<u8>,
    socket: Socket,
    client: TcpStream,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(StoreConfig::new(dir.path())).expect("a store");
        let bytes: Vec<u8> = (0..PIECES * PIECE).map(|at| (at / 251).to_le_bytes()[0]).collect();
        let id = TaskId::Blob(Digest::of(&bytes));
        let layout = Layout::told(bytes.len() as u64, PIECE as u64).expect("a cut");
        let said = Said {
            task: id,
            layout,
            whole: true,
            media_type: String::new(),
            first: 0,
            digests: bytes.chunks(PIECE).map(PieceDigest::of).collect(),
        };
        let signer = Signer::from_seed(&[1; 32]).expect("32 bytes");
        let book = PieceBook::of(&Statement::sign(said, &signer).0);
        let task = store.create(id, layout, "").expect("a task");
        for (index, piece) in (0..).zip(bytes.chunks(PIECE)) {
            let piece = Unverified::new(Bytes::copy_from_slice(piece));
            task.put(&book.verify(index, piece).expect("true bytes")).expect("room");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("it listens");
        let socket = Socket::new(listener.accept().await.expect("it came").0, Counter::default());
        Self { _dir: dir, store, id, bytes, socket, client }
    }

    fn ready(&self) -> Arc<Ready> {
        let task = self.store.task(&self.id).expect("it is there");
        let all = 0..self.bytes.len() as u64;
        Arc::new(task.ready(all).expect("readable").expect("verified"))
    }

    fn part(&self, ready: &Arc<Ready>, start: u64, end: u64) -> Bytes {
        let mapping = Mapping::of(ready.file(), start..end).expect("mapped");
        self.socket.outlet.part(mapping, ready, start)
    }
}

#[tokio::test]
async fn memory_and_files_come_in_their_order() {
    let mut rig = Rig::new().await;
    let ready = rig.ready();
    let (a, b) = (rig.part(&ready, 5, 1_000_000), rig.part(&ready, 70_001, 2_000_000));
    let slices: [&[u8]; 6] = [b"head", b"", &a, b"between", &b[..500_000], b"tail"];
    let expected = slices.concat();
    let from_files = (a.len() + 500_000) as u64;
    let (mut client, length) = (rig.client, expected.len());
    let reading = tokio::spawn(async move {
        let mut came = vec![0; length];
        client.read_exact(&mut came).await.map(|_| came)
    });
    let mut left: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut left = &mut left[..];
    while left.iter().any(|slice| !slice.is_empty()) {
        let sent = rig.socket.write_vectored(left).await.expect("sent");
        assert!(sent > 0);
        IoSlice::advance_slices(&mut left, sent);
    }
    assert!(reading.await.expect("no panic").expect("all came") == expected);
    assert_eq!(rig.socket.outlet.sent.get(), from_files);
    drop((a, b));
    assert!(rig.socket.outlet.lock().is_empty(), "an address is known whose mapping is gone");
}

#[tokio::test]
async fn what_went_away_ends_the_answer() {
    let mut rig = Rig::new().await;
    let ready = rig.ready();
    let part = rig.part(&ready, 0, 1_000_000);
    rig.socket.write_all(&part[..1000]).await.expect("all is well");
    rig.store.remove(&rig.id).expect("removed");
    assert!(!ready.holds());
    rig.socket.write_all(&part[1000..]).await.expect_err("the task is gone");
}
