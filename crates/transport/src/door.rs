//! Strangers at a supernode's door: whoever says the join string's secret becomes a node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;
use wire::join::{Join, Joined};

use crate::authority::{Authority, CERTIFICATE_LIFE, refusal};
use crate::census::Census;
use crate::error::{TransportError, code};
use crate::listen::canonical;
use crate::role::{Role, shorten};
use crate::stream::Stream;

/// The whole conversation with a stranger.
const PATIENCE: Duration = Duration::from_secs(10);

/// A secret, a name and a certificate request are shorter.
const LONGEST_JOIN: usize = 8 * 1024;

/// So many strangers are heard at once.
const STRANGERS: usize = 64;

/// So many wrong secrets an address may say within [`MEMORY`]; then it is not heard.
const WRONG_SECRETS: u32 = 5;

/// How long a wrong secret is remembered.
const MEMORY: Duration = Duration::from_secs(60);

/// So many addresses are remembered; beyond, the oldest are forgotten.
const ADDRESSES: usize = 4096;

/// The door of one supernode.
pub(crate) struct Door {
    authority: Arc<Authority>,
    heard: Semaphore,
    wrong: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Door {
    pub(crate) fn new(authority: Arc<Authority>) -> Self {
        Self { authority, heard: Semaphore::new(STRANGERS), wrong: Mutex::default() }
    }

    /// Hears a stranger, and answers.
    pub(crate) async fn answer(&self, census: &Census, quic: quinn::Connection) {
        let from = canonical(quic.remote_address());
        let Ok(_heard) = self.heard.try_acquire() else {
            quic.close(code::FULL, b"too many join at once");
            return;
        };
        match timeout(PATIENCE, self.converse(census, &quic, from)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%from, %error, "a stranger made no sense"),
            Err(_) => tracing::debug!(%from, "a stranger took too long"),
        }
        quic.close(code::DONE, b"");
    }

    async fn converse(
        &self,
        census: &Census,
        quic: &quinn::Connection,
        from: IpAddr,
    ) -> Result<(), TransportError> {
        let mut stream = Stream::quic(quic.accept_bi().await?, PATIENCE, None);
        let join: Join = stream.recv_short(LONGEST_JOIN).await?.ok_or(TransportError::Truncated)?;
        stream.send(&self.decide(census, from, &join)).await?;
        stream.delivered().await;
        Ok(())
    }

    fn decide(&self, census: &Census, from: IpAddr, join: &Join) -> Joined {
        if self.is_barred(from) {
            tracing::debug!(%from, "an address that said wrong secrets is not heard for a while");
            return refusal("too many wrong secrets came from this address; wait a minute".into());
        }
        if !self.authority.admits(&join.secret) {
            self.note_wrong(from);
            tracing::warn!(%from, "somebody wants to join with a wrong secret");
            return refusal("the join string's secret is not this cluster's".into());
        }
        let name = shorten(&join.name);
        if census.is_elsewhere(&name, from) {
            // Tickets are bound to names: two nodes must not share one.
            tracing::warn!(%from, %name, "somebody wants the name of a node that is connected");
            return refusal(format!("a node named {name:?} is connected from another address"));
        }
        match self.authority.issue(&join.request, Role::Node, &join.name, CERTIFICATE_LIFE) {
            Ok(joined) => {
                tracing::info!(%from, %name, "a node has joined");
                joined
            }
            Err(error) => {
                tracing::warn!(%from, %error, "a join makes no sense");
                refusal(error.to_string())
            }
        }
    }

    fn is_barred(&self, from: IpAddr) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(&from)
            .is_some_and(|(times, last)| *times >= WRONG_SECRETS && last.elapsed() < MEMORY)
    }

    fn note_wrong(&self, from: IpAddr) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= ADDRESSES {
            wrong.retain(|_, (_, last)| last.elapsed() < MEMORY);
        }
        if wrong.len() >= ADDRESSES {
            wrong.clear();
        }
        let (times, last) = wrong.entry(from).or_insert_with(|| (0, Instant::now()));
        *times = if last.elapsed() < MEMORY { *times + 1 } else { 1 };
        *last = Instant::now();
    }
}
