//! A cluster on loopback.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use transport::{Authority, Connection, Endpoint, Expect, Identity, Limits, Role, Stream};
use wire::control::Unwant;
use wire::request::{Asks, Control, Request};

/// A cluster's authority, and members made of it.
pub(crate) struct Cluster {
    pub(crate) authority: Arc<Authority>,
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { authority: Arc::new(Authority::generate().expect("random numbers")) }
    }

    pub(crate) fn identity(&self, role: Role, name: &str) -> Identity {
        self.authority.identity(role, name, DAY).expect("signed")
    }

    pub(crate) fn node(&self, name: &str) -> Endpoint {
        self.node_with(name, Limits::default())
    }

    pub(crate) fn node_with(&self, name: &str, limits: Limits) -> Endpoint {
        Endpoint::bind(local(), self.identity(Role::Node, name), limits).expect("bound")
    }

    pub(crate) fn supernode(&self) -> Endpoint {
        self.supernode_with(Limits::supernode())
    }

    pub(crate) fn supernode_with(&self, limits: Limits) -> Endpoint {
        let authority = Arc::clone(&self.authority);
        Endpoint::bind_supernode(local(), authority, "s1", limits).expect("bound")
    }
}

pub(crate) fn local() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

pub(crate) fn address(endpoint: &Endpoint) -> String {
    endpoint.local_addr().to_string()
}

pub(crate) fn node(name: &str) -> Expect {
    Expect::Node(name.into())
}

/// A request that is told from others by its id.
pub(crate) fn request(id: &str) -> Request {
    Request { request_id: id.into(), asks: Some(Asks::Control(Control {})) }
}

pub(crate) fn message(text: &str) -> Unwant {
    Unwant { task: text.into() }
}

/// Fails a test that hangs.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

/// Answers every stream of every connection with `answer`.
pub(crate) fn serve<F, A>(endpoint: &Endpoint, answer: A)
where
    A: Fn(Connection, Request, Stream) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let endpoint = endpoint.clone();
    tokio::spawn(async move {
        while let Some(connection) = endpoint.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                while let Some((request, stream)) = connection.accept().await {
                    tokio::spawn(answer(connection.clone(), request, stream));
                }
            });
        }
    });
}

/// Serves each message back.
pub(crate) fn serve_echo(endpoint: &Endpoint) {
    serve(endpoint, |_, _, mut stream| async move {
        while let Ok(Some(message)) = stream.recv::<Unwant>().await {
            if stream.send(&message).await.is_err() {
                return;
            }
        }
        stream.done();
    });
}

/// Serves so many bytes as the request's id says, after a message, and then is done.
pub(crate) fn serve_bytes(endpoint: &Endpoint) {
    serve(endpoint, |connection, request, mut stream| async move {
        let length: usize = request.request_id.parse().expect("a number");
        let from = connection.remote().to_string();
        stream.send(&message(&from)).await.expect("sent");
        stream.send_bytes(pattern(length)).await.expect("sent");
        stream.done();
    });
}

/// Bytes that are not alike anywhere.
pub(crate) fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| at.wrapping_mul(0x9e37_79b1).to_le_bytes()[2]).collect()
}

/// Whether an echo comes back.
pub(crate) async fn echoes(connection: &Connection) -> bool {
    let exchange = async {
        let mut stream = connection.open(&request("echo")).await.ok()?;
        stream.send(&message("x")).await.ok()?;
        stream.finish();
        let back: Unwant = stream.recv().await.ok()??;
        (back == message("x")).then_some(())
    };
    soon(exchange).await.is_some()
}
