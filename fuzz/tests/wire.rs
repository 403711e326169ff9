//! What peers send: frames and the messages in them.

use bolero::TypeGenerator;
use bytes::BytesMut;
use fuzz::{Edit, damaged};
use prost::Message;
use wire::control::{FromNode, FromSupernode, Has, Lease, NodeSays, SupernodeSays, Want};
use wire::data::{Describe, Description, Fetch, KnownPeer, PieceHeader};
use wire::join::{Join, Joined, Renew};
use wire::request::{Asks, Manifested, Open, Opened, Paged, Request};
use wire::{SignedTicket, Statement, frame};

/// A message is read, or refused; read, it says the same when it is written again.
fn read<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    let before = buffer.len();
    while let Ok(Some(message)) = frame::decode::<M>(&mut buffer) {
        assert!(buffer.len() < before, "a frame takes bytes");
        let mut again = BytesMut::from(&frame::to_bytes(&message)[..]);
        let same = frame::decode::<M>(&mut again).expect("own frames can be read");
        // Numbers that mean nothing today are kept, so that this holds for later versions' too.
        assert_eq!(same, Some(message));
    }
}

fn read_as_all(bytes: &[u8]) {
    read::<FromNode>(bytes);
    read::<FromSupernode>(bytes);
    read::<Request>(bytes);
    read::<Opened>(bytes);
    read::<Manifested>(bytes);
    read::<Paged>(bytes);
    read::<Fetch>(bytes);
    read::<PieceHeader>(bytes);
    read::<Describe>(bytes);
    read::<Description>(bytes);
    read::<Join>(bytes);
    read::<Joined>(bytes);
    read::<Renew>(bytes);
}

#[test]
fn any_bytes() {
    bolero::check!().with_max_len(4096).for_each(read_as_all);
}

#[test]
fn damaged_messages() {
    let messages = messages();
    bolero::check!().with_type::<(u8, Vec<Change>, Option<u16>)>().for_each(
        |(which, changes, length)| {
            let edits: Vec<_> = changes.iter().take(8).map(Change::edit).collect();
            let message = &messages[usize::from(*which) % messages.len()];
            read_as_all(&damaged(message, &edits, *length));
        },
    );
}

#[derive(Clone, Debug, TypeGenerator)]
struct Change {
    at: u16,
    byte: u8,
}

impl Change {
    fn edit(&self) -> Edit {
        Edit { at: self.at, byte: self.byte }
    }
}

/// A frame of each kind that has something in it.
fn messages() -> Vec<Vec<u8>> {
    let task = format!("sha256:{}", "ab".repeat(32));
    let ticket = Some(SignedTicket { body: vec![7; 60], signature: vec![8; 64] });
    let statement = Statement { body: vec![1; 90], signature: vec![2; 64] };
    let has = Has { task: task.clone(), ..Has::default() };
    let want = Want { task: task.clone(), ..Want::default() };
    let lease = Lease { task: task.clone(), ticket: ticket.clone(), ..Lease::default() };
    let open = Open { digest: task.clone(), ..Open::default() };
    let known = KnownPeer { address: "10.0.0.1:7000".to_owned(), ..KnownPeer::default() };
    let fetch = Fetch { task, first: 1, end: 9, ticket: ticket.clone(), priority: 2 };
    let header = PieceHeader { verdict: 0, index: 3, length: 1 << 20, proof: vec![3; 512] };
    let opened = Opened { statements: vec![statement.clone()], ticket, ..Opened::default() };
    let described =
        Description { statements: vec![statement], peers: vec![known], ..Description::default() };
    vec![
        frame::to_bytes(&FromNode { says: Some(NodeSays::Has(has)) }).to_vec(),
        frame::to_bytes(&FromNode { says: Some(NodeSays::Want(want)) }).to_vec(),
        frame::to_bytes(&FromSupernode { says: Some(SupernodeSays::Lease(lease)) }).to_vec(),
        frame::to_bytes(&Request { asks: Some(Asks::Open(open)), ..Request::default() }).to_vec(),
        frame::to_bytes(&fetch).to_vec(),
        frame::to_bytes(&header).to_vec(),
        frame::to_bytes(&opened).to_vec(),
        frame::to_bytes(&described).to_vec(),
    ]
}
