//! The conversation on one connection: hello, all that we hold, then wants and leases.

use std::time::Duration;

use content::{PieceSet, TaskId};
use peer::{Failure, Want};
use tokio::sync::mpsc;
use transport::{Connection, SendHalf, TransportError};
use wire::control::{
    FromNode, FromSupernode, Has, Lost, NodeSays, SupernodeSays, TaskFailed, Told as AllTold,
    Unopened, Unwant,
};
use wire::request::{Asks, Control, Kind, Request};

use super::driver::Driver;
use super::lease::Running;
use super::{State, Told};

/// The supernode welcomes a node within this time.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// Holds the conversation until the connection ends.
pub(super) async fn hold(
    driver: &mut Driver,
    connection: &Connection,
) -> Result<(), TransportError> {
    let request = Request { request_id: String::new(), asks: Some(Asks::Control(Control {})) };
    let (mut out, mut incoming) = connection.open(&request).await?.split();
    say(&mut out, NodeSays::Hello(driver.parts.hello.clone())).await?;
    let welcome = tokio::time::timeout(WELCOME_WITHIN, incoming.recv::<FromSupernode>()).await;
    let Ok(Ok(Some(FromSupernode { says: Some(SupernodeSays::Welcome(welcome)) }))) = welcome
    else {
        return Err(TransportError::Closed);
    };
    for neighbour in welcome.neighbours {
        driver.parts.engine.met(neighbour);
    }
    // Reading goes on in a task of its own: a half-read message must not be lost to a select.
    let (heard_in, mut heard) = mpsc::channel(64);
    let reading = tokio::spawn(async move {
        while let Ok(Some(message)) = incoming.recv::<FromSupernode>().await {
            if heard_in.send(message).await.is_err() {
                return;
            }
        }
    });
    driver.transfers.supernode(connection.clone());
    driver.ends.connection.send_replace(State::new(Some(connection.clone())));
    tell_all(driver, &mut out).await?;
    for task in driver.wants.keys().copied().collect::<Vec<_>>() {
        driver.introduce(connection, task);
    }
    let ended = talk(driver, connection, &mut out, &mut heard).await;
    reading.abort();
    ended
}

async fn talk(
    driver: &mut Driver,
    connection: &Connection,
    out: &mut SendHalf,
    heard: &mut mpsc::Receiver<FromSupernode>,
) -> Result<(), TransportError> {
    loop {
        driver.search();
        tokio::select! {
            // A lease's end before the reader that went on because of it: the other way round, the
            // supernode would take back a lease that is done.
            biased;
            Some(running) = driver.ended.recv() => {
                say(out, ended(driver, running)).await?;
            }
            message = heard.recv() => match message {
                Some(message) => {
                    if let Some(reply) = hear(driver, connection, message) {
                        say(out, reply).await?;
                    }
                }
                None => return Ok(()),
            },
            told = driver.ends.told.recv() => {
                let Some(told) = told else { return Ok(()) };
                if let Told::Lost(task, pieces) = &told {
                    let lost = Lost { task: task.to_string(), pieces: map(pieces) };
                    say(out, NodeSays::Lost(lost)).await?;
                }
                if let Some((task, want)) = driver.note(&told, Some(connection)) {
                    say(out, wanted(task, want)).await?;
                }
            }
        }
    }
}

/// All that we hold, for a supernode that may have lost its memory.
async fn tell_all(driver: &Driver, out: &mut SendHalf) -> Result<(), TransportError> {
    for held in driver.parts.engine.store().list() {
        if let Some(has) = holding(driver, &held.id) {
            say(out, NodeSays::Has(has)).await?;
        }
    }
    say(out, NodeSays::Told(AllTold {})).await
}

fn holding(driver: &Driver, id: &TaskId) -> Option<Has> {
    let task = driver.parts.engine.store().task(id)?;
    let pieces = task.present();
    let statements = task.statements();
    // What no supernode signed cannot be believed by others.
    if pieces.is_empty() || statements.is_empty() {
        return None;
    }
    Some(Has {
        task: id.to_string(),
        length: task.layout().length(),
        piece_size: task.layout().piece_size().bytes(),
        pieces: pieces.to_bytes(),
        statements: statements.into_iter().map(Into::into).collect(),
    })
}

fn wanted(task: TaskId, want: Option<Want>) -> NodeSays {
    let task = task.to_string();
    match want {
        None => NodeSays::Unwant(Unwant { task }),
        Some(want) => NodeSays::Want(wire::control::Want {
            task,
            first: want.run.first,
            end: want.run.end,
            reader_at: want.reader_at,
            priority: want.priority.into(),
        }),
    }
}

/// What a finished transfer means to the supernode: its lease's end, or, if an earlier supernode
/// gave the lease, just what we hold now.
fn ended(driver: &Driver, running: Running) -> NodeSays {
    if let Some(ended) = driver.transfers.report(&running) {
        return NodeSays::Ended(ended);
    }
    match holding(driver, &running.task) {
        Some(has) => NodeSays::Has(has),
        None => NodeSays::Told(AllTold {}),
    }
}

fn hear(driver: &mut Driver, connection: &Connection, message: FromSupernode) -> Option<NodeSays> {
    match message.says? {
        SupernodeSays::Welcome(_) => None,
        SupernodeSays::Lease(lease) => driver.transfers.begin(lease).map(NodeSays::Ended),
        SupernodeSays::Cancel(cancel) => {
            driver.transfers.cancel(cancel.lease);
            None
        }
        SupernodeSays::Learnt(statement) => {
            learn(driver, statement.into());
            None
        }
        SupernodeSays::Failed(failed) => {
            fail(driver, failed);
            None
        }
        SupernodeSays::Unopened(Unopened { task }) => {
            if let Ok(task) = wire::task(&task) {
                driver.reopen(connection, task);
            }
            None
        }
    }
}

fn learn(driver: &Driver, signed: content::SignedStatement) {
    let engine = &driver.parts.engine;
    let Ok(statement) = signed.believe(&engine.verifier()) else {
        tracing::warn!("the supernode sent a statement that its cluster did not sign");
        return;
    };
    if let Some(live) = engine.live(&statement.task())
        && let Err(error) = live.learn_signed(signed, &engine.verifier())
    {
        tracing::warn!(task = %statement.task(), %error, "a statement is of no use");
    }
}

fn fail(driver: &Driver, failed: TaskFailed) {
    let Ok(task) = wire::task(&failed.task) else {
        return;
    };
    let failure = failed
        .failure
        .map_or_else(|| Failure::new(Kind::Other, "the supernode gave the task up"), Failure::from);
    tracing::warn!(%task, error = %failure, "a task came to nothing");
    driver.parts.engine.fail(&task, failure, failed.drop);
}

async fn say(out: &mut SendHalf, says: NodeSays) -> Result<(), TransportError> {
    out.send(&FromNode { says: Some(says) }).await
}

/// The pieces of a run that are here, as the wire has them.
pub(super) fn map(pieces: &PieceSet) -> Vec<u8> {
    pieces.to_bytes()
}
