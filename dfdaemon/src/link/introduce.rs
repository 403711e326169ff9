//! Tasks that a supernode does not know of: opened while there was none, or at one that lost its
//! memory. They are opened again in the client's name before anything is wanted of them.

use std::time::Duration;

use content::TaskId;
use peer::Engine;
use peer::origin::{Origin, OriginKind};
use registry::Caller;
use transport::Connection;
use wire::control::Priority;
use wire::request::{Asks, Open, OpenUrl, Opened, Place, Request};

use super::Attempts;
use crate::tickets::Tickets;

/// A supernode that does not take a task is asked again after so long.
const AGAIN: Duration = Duration::from_secs(2);

/// Opens `task` at the supernode behind `connection`; whether it took it.
pub(super) async fn introduce(
    connection: Connection,
    engine: Engine,
    (tickets, attempts): (&Tickets, &Attempts),
    task: TaskId,
    origins: Vec<Origin>,
) -> bool {
    for origin in origins.iter().rev() {
        let Some(opened) = ask(&connection, origin).await else {
            continue;
        };
        if opened.failure.is_some() {
            continue;
        }
        tickets.keep(opened.ticket, &engine.verifier());
        attempts.present(task, opened.attempt);
        let statements: Vec<_> = opened.statements.into_iter().map(Into::into).collect();
        if engine.open(&statements).is_ok_and(|live| live.id() == task) {
            return true;
        }
    }
    tokio::time::sleep(AGAIN).await;
    false
}

async fn ask(connection: &Connection, origin: &Origin) -> Option<Opened> {
    let asks = match origin {
        Origin::Registry(origin) if origin.kind == OriginKind::Blob => {
            let authorization = match &origin.caller {
                Caller::Client(Some(credential)) => Some(credential.expose().to_owned()),
                Caller::Client(None) | Caller::Own => None,
            };
            Asks::Open(Open {
                place: Some(Place {
                    registry: origin.repository.registry().to_owned(),
                    repository: origin.repository.name().to_owned(),
                    authorization,
                }),
                digest: origin.digest.to_string(),
                priority: Priority::Pull.into(),
                only_facts: false,
            })
        }
        Origin::Registry(_) => return None,
        Origin::Url { url, .. } => Asks::OpenUrl(OpenUrl { url: url.to_string(), digest: None }),
    };
    let request = Request { request_id: String::new(), asks: Some(asks) };
    let mut stream = connection.open(&request).await.ok()?;
    stream.finish();
    stream.recv().await.ok()?
}
