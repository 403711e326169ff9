//! How a hostile node comes to its supernode.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinHandle;
use transport::{Connection, Endpoint, Expect, SendHalf};
use wire::control::{FromNode, FromSupernode, Hello, NodeSays, SupernodeSays};
use wire::request::{Asks, Control};

use super::{PATIENCE, ask, lock};
use crate::cluster::Supernode;

/// A connection to the supernode, which may just be getting ready.
pub(super) async fn reach(
    endpoint: &Endpoint,
    supernode: &Supernode,
) -> anyhow::Result<Connection> {
    let join: transport::JoinString = supernode.join().parse()?;
    let address = join.addresses().first().context("an address")?;
    for _ in 0..100 {
        if let Ok(connection) = endpoint.connect(address, Expect::Supernode).await
            && !connection.is_closed()
        {
            return Ok(connection);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the supernode is not reached at {address}")
}

/// Begins the conversation on a control stream; what the supernode says is kept in `heard`.
pub(super) async fn converse(
    connection: &Connection,
    endpoint: &Endpoint,
    heard: &Arc<Mutex<Vec<SupernodeSays>>>,
    deaf: &Arc<AtomicBool>,
) -> anyhow::Result<(SendHalf, JoinHandle<()>)> {
    let (mut control, mut answers) =
        connection.open(&ask(Asks::Control(Control {}))).await?.split();
    let hello = NodeSays::Hello(Hello {
        address: endpoint.local_addr().to_string(),
        // A tempting parent.
        upload_slots: 256,
        upload_rate: 10 << 30,
        version: "hostile".into(),
        ..Hello::default()
    });
    control.send(&FromNode { says: Some(hello) }).await?;
    let welcome = tokio::time::timeout(PATIENCE, answers.recv::<FromSupernode>()).await??;
    ensure!(welcome.is_some(), "no welcome");
    let (heard, deaf) = (Arc::clone(heard), Arc::clone(deaf));
    let hearing = tokio::spawn(async move {
        while let Ok(Some(message)) = answers.recv::<FromSupernode>().await {
            lock(&heard).extend(message.says);
            if deaf.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
        }
    });
    Ok((control, hearing))
}
