//! What a supernode says about a task, signed, so that nodes can tell it each other.
//!
//! A statement names the task, how it is cut, and the digests of one run of its pieces. Its bytes
//! are a fixed layout, big-endian, so that they can be signed:
//!
//! | bytes | field |
//! |---|---|
//! | 1 + 32 | kind of task (0 blob, 1 URL), its name |
//! | 8 | length of the task in bytes |
//! | 4 | piece size in bytes |
//! | 1 | 1 if the signer saw the whole task match its digest, else 0 |
//! | 1 + n | media type: its length, its characters |
//! | 4 | number of the run's first piece |
//! | 32 each | the run's piece digests |

use crate::digest::Digest;
use crate::piece::PieceDigest;
use crate::sign::{Domain, Signer, Verifier};
use crate::task::{Layout, PieceIndex, Run, TaskId};

/// The most pieces that one statement describes: 128 KiB of digests.
pub const MAX_PIECES: usize = 4096;

/// A believed statement: made by a [`Signer`], or read from a [`SignedStatement`] whose signature
/// held. There is no other way to one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    task: TaskId,
    layout: Layout,
    whole: bool,
    media_type: String,
    first: PieceIndex,
    digests: Vec<PieceDigest>,
}

/// A statement on its way: its bytes and a signature over them, not yet believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedStatement {
    /// The statement's bytes.
    pub body: Vec<u8>,
    /// The Ed25519 signature over the body, under [`Domain::Statement`].
    pub signature: Vec<u8>,
}

/// Why a statement is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// No key of the cluster signed it.
    #[error("the statement's signature is not of this cluster")]
    Signature,
    /// Its bytes are not a statement.
    #[error("the statement cannot be read")]
    Form,
}

/// What a statement is made of.
#[derive(Clone, Debug)]
pub struct Said {
    /// The task.
    pub task: TaskId,
    /// How it is cut.
    pub layout: Layout,
    /// Whether the signer saw the whole task match its digest.
    pub whole: bool,
    /// The media type that the origin gave; empty where it means nothing.
    pub media_type: String,
    /// The first piece that is described.
    pub first: PieceIndex,
    /// The digests of that piece and its followers, at most [`MAX_PIECES`].
    pub digests: Vec<PieceDigest>,
}

impl Statement {
    /// Says something, signed. Media types over 255 bytes are left out, and digests beyond the
    /// task's end or [`MAX_PIECES`] are cut.
    #[must_use]
    pub fn sign(said: Said, signer: &Signer) -> (Self, SignedStatement) {
        let mut digests = said.digests;
        let room = said.layout.pieces().saturating_sub(said.first) as usize;
        digests.truncate(room.min(MAX_PIECES));
        let media_type = said.media_type;
        let statement = Self {
            task: said.task,
            layout: said.layout,
            whole: said.whole,
            media_type: if media_type.len() <= 255 { media_type } else { String::new() },
            first: said.first,
            digests,
        };
        let body = statement.encode();
        let signature = signer.sign(Domain::Statement, &body);
        (statement, SignedStatement { body, signature })
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// How the task is cut.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether the signer saw the whole task match its digest.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The media type; empty where it means nothing.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The pieces that are described.
    #[must_use]
    pub fn run(&self) -> Run {
        let count = u32::try_from(self.digests.len()).unwrap_or(0);
        Run { first: self.first, end: self.first + count }
    }

    /// The described pieces and their digests.
    pub fn digests(&self) -> impl Iterator<Item = (PieceIndex, PieceDigest)> + '_ {
        (self.first..).zip(self.digests.iter().copied())
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.media_type.len() + 32 * self.digests.len());
        let (kind, name) = match &self.task {
            TaskId::Blob(digest) => (0, digest.as_bytes()),
            TaskId::Url(raw) => (1, raw),
        };
        body.push(kind);
        body.extend_from_slice(name);
        body.extend_from_slice(&self.layout.length().to_be_bytes());
        let piece_size = u32::try_from(self.layout.piece_size().bytes()).unwrap_or(u32::MAX);
        body.extend_from_slice(&piece_size.to_be_bytes());
        body.push(u8::from(self.whole));
        body.push(u8::try_from(self.media_type.len()).unwrap_or(0));
        body.extend_from_slice(self.media_type.as_bytes());
        body.extend_from_slice(&self.first.to_be_bytes());
        for digest in &self.digests {
            body.extend_from_slice(digest.as_bytes());
        }
        body
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = body;
        let [kind] = take::<1>(&mut rest)?;
        let name = take::<32>(&mut rest)?;
        let task = match kind {
            0 => TaskId::Blob(Digest::from_bytes(name)),
            1 => TaskId::Url(name),
            _ => return None,
        };
        let length = u64::from_be_bytes(take(&mut rest)?);
        let piece_size = u32::from_be_bytes(take(&mut rest)?);
        let layout = Layout::told(length, u64::from(piece_size)).ok()?;
        let [whole] = take::<1>(&mut rest)?;
        let [media_length] = take::<1>(&mut rest)?;
        let (media, after) = rest.split_at_checked(usize::from(media_length))?;
        rest = after;
        let first = u32::from_be_bytes(take(&mut rest)?);
        let (digests, tail) = rest.as_chunks::<32>();
        let room = layout.pieces().checked_sub(first)? as usize;
        let fits = tail.is_empty() && digests.len() <= room.min(MAX_PIECES) && whole <= 1;
        fits.then(|| Self {
            task,
            layout,
            whole: whole == 1,
            media_type: String::from_utf8_lossy(media).into_owned(),
            first,
            digests: digests.iter().copied().map(PieceDigest::from_bytes).collect(),
        })
    }
}

impl SignedStatement {
    /// The statement, if the cluster signed it.
    ///
    /// # Errors
    /// If the signature is not of this cluster, or the body is no statement.
    pub fn believe(&self, verifier: &Verifier) -> Result<Statement, NotBelieved> {
        if !verifier.verify(Domain::Statement, &self.body, &self.signature) {
            return Err(NotBelieved::Signature);
        }
        Statement::decode(&self.body).ok_or(NotBelieved::Form)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said {
            task: TaskId::Blob(Digest::of(b"x")),
            layout: Layout::for_length(200_000).expect("within bounds"),
            whole: true,
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            first: 1,
            digests: vec![PieceDigest::of(b"1"), PieceDigest::of(b"2")],
        }
    }

    #[test]
    fn a_signed_statement_is_believed_and_a_changed_one_is_not() {
        let signer = Signer::from_seed(&[1; 32]).expect("32 bytes");
        let (statement, signed) = Statement::sign(said(), &signer);
        assert_eq!(signed.believe(&signer.verifier()), Ok(statement.clone()));
        assert_eq!(statement.run(), Run { first: 1, end: 3 });
        for index in 0..signed.body.len() {
            let mut changed = signed.clone();
            changed.body[index] ^= 1;
            assert_eq!(changed.believe(&signer.verifier()), Err(NotBelieved::Signature));
        }
    }

    #[test]
    fn no_body_however_signed_breaks_the_reader() {
        let signer = Signer::from_seed(&[1; 32]).expect("32 bytes");
        let (_, good) = Statement::sign(said(), &signer);
        for length in 0..good.body.len() {
            let body = good.body[..length].to_vec();
            let signature = signer.sign(Domain::Statement, &body);
            // Cut at a digest's end it is a shorter statement; anywhere else it is none.
            let _ = SignedStatement { body, signature }.believe(&signer.verifier());
        }
        let mut too_far = good.body;
        too_far.extend_from_slice(&[0; 64]);
        let signature = signer.sign(Domain::Statement, &too_far);
        let read = SignedStatement { body: too_far, signature }.believe(&signer.verifier());
        assert_eq!(read, Err(NotBelieved::Form));
    }
}
