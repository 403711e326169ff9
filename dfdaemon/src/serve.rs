//! Pieces for other nodes: who shows a ticket gets what is here and verified.

use std::sync::Arc;

use peer::serve::Uploader;
use transport::{Connection, Endpoint, Stream, TransportError};
use wire::request::{Asks, Request};

/// Serves whoever has the cluster's certificate, until the endpoint closes.
pub async fn run(endpoint: Endpoint, uploader: Arc<Uploader>) {
    while let Some(connection) = endpoint.accept().await {
        let uploader = Arc::clone(&uploader);
        tokio::spawn(hear(connection, uploader));
    }
}

async fn hear(connection: Connection, uploader: Arc<Uploader>) {
    while let Some((request, stream)) = connection.accept().await {
        let (connection, uploader) = (connection.clone(), Arc::clone(&uploader));
        tokio::spawn(async move {
            if let Err(error) = answer(&connection, &uploader, request, stream).await {
                tracing::debug!(peer = %connection.peer().name, %error, "a stream ended early");
            }
        });
    }
}

async fn answer(
    connection: &Connection,
    uploader: &Uploader,
    request: Request,
    mut stream: Stream,
) -> Result<(), TransportError> {
    match request.asks {
        Some(Asks::Fetch(ask)) => uploader.fetch(connection.peer(), ask, &mut stream).await?,
        Some(Asks::Describe(ask)) => uploader.describe(connection, ask, &mut stream).await?,
        // The rest is for a supernode to answer.
        _ => return Ok(()),
    }
    stream.done();
    Ok(())
}
