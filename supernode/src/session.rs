//! One node's control stream: from its hello to its end.

use std::time::Duration;

use content::{PieceSet, Run};
use peer::peers::reachable;
use schedule::{Blame, Event, LeaseId, NodeFacts, NodeId};
use tokio::sync::mpsc;
use transport::{Connection, RecvHalf, Stream, TransportError};
use wire::control::{
    Ended, FromNode, FromSupernode, Has, Hello, Lost, NodeSays, Outcome, SupernodeSays, Want,
    Welcome,
};

use crate::swarm::{Claim, Newcomer, Swarm, schedule_priority};

/// So many messages may wait for a node that is slow to read.
const QUEUE: usize = 1024;

/// A hello is no longer than this, in bytes …
const LONGEST_HELLO: usize = 4096;

/// … each of its texts no longer than this …
const LONGEST_TEXT: usize = 256;

/// … and comes within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Why a session ended otherwise than by the node's leaving.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The node said something that makes no sense.
    #[error(transparent)]
    Invalid(#[from] wire::Invalid),
    /// The first message was no hello.
    #[error("the node did not say hello")]
    NoHello,
}

/// Holds the conversation with one node until it ends.
///
/// # Errors
/// If the connection fails or the node talks nonsense.
pub async fn hold(
    swarm: Swarm,
    connection: Connection,
    stream: Stream,
) -> Result<(), SessionError> {
    let (mut sender, mut receiver) = stream.split();
    let hello = tokio::time::timeout(HELLO_WITHIN, hello(&mut receiver));
    let hello = hello.await.map_err(|_| SessionError::NoHello)??;
    let (out, mut queue) = mpsc::channel(QUEUE);
    let name = connection.peer().name.clone();
    let address = reachable(&hello.address, connection.remote());
    tracing::info!(node = %name, %address, version = %hello.version, "a node has come");
    let node = swarm.join(Newcomer { name: name.clone(), address, facts: facts(&hello), out });
    let welcome = FromSupernode {
        says: Some(SupernodeSays::Welcome(Welcome {
            version: env!("CARGO_PKG_VERSION").into(),
            keys: Vec::new(),
            neighbours: swarm.neighbours(node),
        })),
    };
    let talk = async {
        sender.send(&welcome).await?;
        while let Some(message) = queue.recv().await {
            sender.send(&message).await?;
        }
        Ok::<_, SessionError>(())
    };
    let listen = async {
        while let Some(message) = receiver.recv::<FromNode>().await? {
            swarm.counters().heard();
            // Without a word, or with one that a newer node may know, it changes nothing.
            if let Some(says) = message.says {
                hear(&swarm, node, says)?;
            }
        }
        Ok::<_, SessionError>(())
    };
    let ended = tokio::select! {
        ended = talk => ended,
        ended = listen => ended,
    };
    swarm.leave(node);
    tracing::info!(node = %name, "a node has gone");
    ended
}

async fn hello(receiver: &mut RecvHalf) -> Result<Hello, SessionError> {
    let first: Option<FromNode> = receiver.recv_short(LONGEST_HELLO).await?;
    let Some(NodeSays::Hello(hello)) = first.and_then(|message| message.says) else {
        return Err(SessionError::NoHello);
    };
    let texts = [&hello.address, &hello.zone, &hello.rack, &hello.version];
    match texts.iter().all(|text| text.len() <= LONGEST_TEXT) {
        true => Ok(hello),
        false => Err(wire::Invalid("hello").into()),
    }
}

fn facts(hello: &Hello) -> NodeFacts {
    NodeFacts {
        upload_slots: hello.upload_slots.clamp(1, 256),
        upload_bytes_per_s: (hello.upload_rate > 0).then_some(hello.upload_rate),
        zone: hello.zone.clone(),
        rack: hello.rack.clone(),
        can_serve: !hello.address.is_empty(),
    }
}

fn hear(swarm: &Swarm, node: NodeId, says: NodeSays) -> Result<(), wire::Invalid> {
    match says {
        NodeSays::Hello(_) => {}
        NodeSays::Told(_) => swarm.ready(node),
        NodeSays::Has(has) => holds(swarm, node, has)?,
        NodeSays::Lost(lost) => swarm.apply(loses(node, &lost)?),
        NodeSays::Want(want) => swarm.wants(node, wants(&want)?),
        NodeSays::Unwant(unwant) => swarm.unwants(node, wire::task(&unwant.task)?),
        NodeSays::Ended(ended) => swarm.ended(node, LeaseId(ended.lease), outcome(&ended)),
    }
    Ok(())
}

fn holds(swarm: &Swarm, node: NodeId, has: Has) -> Result<(), wire::Invalid> {
    let task = wire::task(&has.task)?;
    let layout = wire::layout(has.length, has.piece_size)?;
    let statements = has.statements.into_iter().map(Into::into).collect();
    let pieces = PieceSet::from_bytes(layout.pieces(), &has.pieces);
    swarm.claim(node, Claim { task, layout, pieces, statements });
    Ok(())
}

fn loses(node: NodeId, lost: &Lost) -> Result<Event, wire::Invalid> {
    let task = wire::task(&lost.task)?;
    let all = lost.pieces.is_empty();
    let pieces = if all { PieceSet::all(MOST_PIECES) } else { uncut(&lost.pieces) };
    Ok(Event::Lost { node, task, pieces })
}

/// A piece map whose task's length is not at hand: the scheduler cuts what is too much.
fn uncut(map: &[u8]) -> PieceSet {
    let bits = u32::try_from(map.len().saturating_mul(8)).unwrap_or(u32::MAX);
    PieceSet::from_bytes(bits, map)
}

/// No task has more pieces than this: 1 TiB in the smallest ones.
const MOST_PIECES: u32 = 1 << 24;

fn wants(want: &Want) -> Result<schedule::Want, wire::Invalid> {
    let run: Run = wire::run(want.first, want.end)?;
    Ok(schedule::Want {
        task: wire::task(&want.task)?,
        run,
        reader_at: want.reader_at,
        priority: schedule_priority(want.priority()),
    })
}

fn outcome(ended: &Ended) -> Event {
    let lease = LeaseId(ended.lease);
    let pieces = uncut(&ended.pieces);
    let blame = match ended.outcome() {
        Outcome::Done => {
            return Event::Done { lease, pieces, bytes: ended.bytes, millis: ended.millis };
        }
        Outcome::WrongBytes => Blame::Parent,
        Outcome::Missing => Blame::Missing,
        Outcome::Unreachable => Blame::Unreachable,
        Outcome::Busy => Blame::Busy,
        Outcome::Refused => Blame::Refused,
        Outcome::Stalled => Blame::Timeout,
        Outcome::Receiver => Blame::Receiver,
    };
    Event::Failed { lease, got: pieces, blame }
}
