//! The running daemon, asked over its unix socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use peer::cache::{Collected, Done, Listing, Step};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::door::{Gc, Pin, Rm, Verify};

/// The most of an answer that is read whole: a listing of some hundred thousand tasks.
const LARGEST: usize = 256 << 20;

/// A daemon that answers on its socket.
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    /// The daemon behind `socket`; `None` where none runs.
    pub(super) async fn connect(socket: &Path) -> anyhow::Result<Option<Self>> {
        match UnixStream::connect(socket).await {
            Ok(_) => Ok(Some(Self { socket: socket.to_owned() })),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot talk to the daemon on {}; its owner and its group may",
                    socket.display()
                )
            }),
        }
    }

    pub(super) async fn list(&self) -> anyhow::Result<Listing> {
        self.ask(Method::GET, "/v1/cache", &()).await
    }

    pub(super) async fn remove(&self, tasks: &[String], force: bool) -> anyhow::Result<Done> {
        let ask = Rm { tasks: tasks.to_vec(), force };
        self.ask(Method::POST, "/v1/cache/rm", &ask).await
    }

    pub(super) async fn collect(&self, to: Option<u64>) -> anyhow::Result<Collected> {
        self.ask(Method::POST, "/v1/cache/gc", &Gc { to }).await
    }

    pub(super) async fn pin(&self, tasks: &[String], pinned: bool) -> anyhow::Result<Done> {
        let ask = Pin { tasks: tasks.to_vec(), pinned };
        self.ask(Method::POST, "/v1/cache/pin", &ask).await
    }

    pub(super) async fn verify(
        &self,
        tasks: &[String],
        mut tell: impl FnMut(Step) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let ask = Verify { tasks: tasks.to_vec() };
        let mut response = self.send(Method::POST, "/v1/cache/verify", &ask).await?;
        let mut pending = BytesMut::new();
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(bytes) = frame?.into_data() {
                pending.extend_from_slice(&bytes);
            }
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line = pending.split_to(end + 1);
                match serde_json::from_slice(&line)? {
                    Step::Failed { error } => bail!(error),
                    Step::Done => return tell(Step::Done),
                    step => tell(step)?,
                }
            }
        }
        bail!("the daemon went away before it was done")
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        ask: &impl Serialize,
    ) -> anyhow::Result<T> {
        let response = self.send(method, target, ask).await?;
        Ok(serde_json::from_slice(&read(response).await?)?)
    }

    /// Sends a question; a refusal is an error with the daemon's words.
    async fn send(
        &self,
        method: Method,
        target: &str,
        ask: &impl Serialize,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "dfdaemon")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(ask)?)))?;
        let response = sender.send_request(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let told: Option<serde_json::Value> = serde_json::from_slice(&read(response).await?).ok();
        match told.as_ref().and_then(|told| told["error"].as_str()) {
            Some(error) => bail!("{error}"),
            None => bail!("the daemon answered {status}; is it of another version?"),
        }
    }
}

async fn read(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("the daemon's answer: {error}"))?.to_bytes())
}
