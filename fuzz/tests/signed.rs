//! What is believed only when the cluster signed it; and what is read of it then, for a key that is
//! lost must not become a crash of every node.

use content::sign::{Domain, Signer};
use content::{Digest, Layout, PieceDigest, PieceProof, PieceSet, SignedStatement, TaskId};
use wire::SignedTicket;

fn signer() -> Signer {
    Signer::from_seed(&[9; 32]).expect("32 bytes are a seed")
}

#[test]
fn nothing_unsigned_is_believed() {
    let verifier = signer().verifier();
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(body, signature)| {
        let (body, signature) = (body.clone(), signature.clone());
        let ticket = SignedTicket { body: body.clone(), signature: signature.clone() };
        assert!(ticket.believe(&verifier).is_err());
        assert!(SignedStatement { body, signature }.believe(&verifier).is_err());
    });
}

#[test]
fn signed_nonsense_is_refused_or_makes_sense() {
    let (signer, verifier) = (signer(), signer().verifier());
    bolero::check!().with_type::<(bool, [u8; 32], u64, u32, Vec<u8>)>().for_each(
        |(url, name, length, size, rest)| {
            let mut body = vec![u8::from(*url)];
            body.extend_from_slice(name);
            body.extend_from_slice(&length.to_be_bytes());
            let ticket = [body.as_slice(), rest].concat();
            let signature = signer.sign(Domain::Ticket, &ticket);
            let _ = SignedTicket { body: ticket, signature }.believe(&verifier);
            // Powers of two are the sizes that pieces have.
            body.extend_from_slice(&(1u32 << (size % 32)).to_be_bytes());
            body.extend_from_slice(rest);
            let signature = signer.sign(Domain::Statement, &body);
            if let Ok(statement) = (SignedStatement { body, signature }).believe(&verifier) {
                let (layout, run) = (statement.layout(), statement.run());
                assert!(run.end <= layout.pieces());
                assert!(layout.bytes_of(run).end <= layout.length());
                assert_eq!(statement.digests().count(), run.iter().count());
            }
        },
    );
}

#[test]
fn cuts_cover_a_task_exactly() {
    bolero::check!().with_type::<(u64, u8, u32)>().for_each(|(length, power, index)| {
        let Ok(layout) = Layout::told(*length, 1u64 << (power % 64)) else { return };
        assert_eq!(layout.bytes_of(layout.all()), 0..layout.length());
        let inside = layout.pieces().checked_sub(1).map(|last| index % (last + 1));
        if let Some(extent) = inside.and_then(|index| layout.extent(index)) {
            assert!(extent.start < extent.end && extent.end <= layout.length());
            assert_eq!(Some(layout.piece_at(extent.start)), inside);
            assert_eq!(Some(layout.piece_at(extent.end - 1)), inside);
        }
        assert_eq!(layout.extent(layout.pieces()), None);
    });
}

#[test]
fn maps_of_pieces_hold_what_they_say() {
    bolero::check!().with_type::<(u16, Vec<u8>)>().for_each(|(count, map)| {
        let set = PieceSet::from_bytes(u32::from(*count), map);
        assert!(set.len() <= set.capacity());
        assert_eq!(PieceSet::from_bytes(u32::from(*count), &set.to_bytes()), set);
    });
}

#[test]
fn no_proof_leads_to_a_digest_of_something_else() {
    let digest = PieceDigest::of(b"what the piece really is");
    bolero::check!().with_type::<(u32, Vec<u8>)>().for_each(|(length, raw)| {
        let length = u64::from(*length % (4 << 20));
        // As many values as fit, so that it is the values that are judged.
        let wanted = PieceProof::entries(length) * 32;
        let raw: Vec<u8> = raw.iter().copied().chain(std::iter::repeat(0)).take(wanted).collect();
        let proof = PieceProof::from_bytes(length, &raw).expect("as long as it should be");
        assert!(raw.is_empty() || !proof.leads_to(digest, length));
    });
}

#[test]
fn names_that_are_read_are_written_alike() {
    bolero::check!().with_type::<String>().for_each(|text| {
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), *text);
        }
        if let Ok(task) = text.parse::<TaskId>() {
            assert_eq!(task.to_string(), *text);
        }
    });
}
