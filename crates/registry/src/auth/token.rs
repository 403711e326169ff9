//! The tokens that we hold: one slot per registry, repository and identity, filled and renewed by
//! one task at a time while the others wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::{Challenge, Exchange};
use crate::error::Error;
use crate::names::Repository;

/// As whom a registry is asked when a client brought no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    Anonymous,
    Own,
    /// Ourselves, to write.
    Pusher,
}

/// What gets a request past a challenge.
#[derive(Clone)]
pub(crate) struct Grant {
    /// The value of `Authorization`, marked sensitive.
    pub(crate) header: HeaderValue,
    /// Until when it need not be renewed.
    pub(crate) fresh_until: Instant,
}

impl Grant {
    /// A grant for `lifetime`, to be renewed a little before.
    pub(crate) fn new(header: HeaderValue, lifetime: Duration) -> Self {
        let margin = (lifetime / 10).min(Duration::from_secs(30));
        Self { header, fresh_until: Instant::now() + (lifetime - margin) }
    }
}

/// A grant as it was handed out. The number tells it from the one that replaces it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) grant: Grant,
    number: u64,
}

/// All the slots.
#[derive(Default)]
pub(crate) struct Tokens {
    slots: Mutex<HashMap<(Repository, Identity), Arc<Slot>>>,
}

/// More repositories than this are not pulled from at a time; what was forgotten is learned anew.
const MOST_SLOTS: usize = 4096;

impl Tokens {
    pub(crate) fn slot(&self, repository: &Repository, identity: Identity) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (repository.clone(), identity);
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        if slots.len() >= MOST_SLOTS {
            slots.retain(|_, slot| slot.is_in_use());
        }
        if slots.len() >= MOST_SLOTS {
            // Whoever uses one keeps it; it is only not shared any more.
            slots.clear();
        }
        let slot = Arc::new(Slot::default());
        slots.insert(key, Arc::clone(&slot));
        slot
    }
}

/// The token for one repository and identity.
#[derive(Default)]
pub(crate) struct Slot {
    state: tokio::sync::Mutex<State>,
    /// How many exchanges have ended: tells a waiter that another's has, while it waited.
    ended: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// What was asked for last time, so that a token is renewed before the registry must ask again.
    challenge: Option<Challenge>,
    last: Option<Outcome>,
}

/// How the last exchange ended, if it brought nothing.
#[derive(Clone)]
enum Outcome {
    Denied,
    Failed(Error),
}

impl Slot {
    fn is_in_use(self: &Arc<Self>) -> bool {
        let fresh = |state: &State| {
            let held = state.held.as_ref();
            held.is_some_and(|held| held.grant.fresh_until > Instant::now())
        };
        Arc::strong_count(self) > 1 || self.state.try_lock().is_ok_and(|state| fresh(&state))
    }

    /// The grant to send with a request, renewed if it is about to expire. None if the registry
    /// has not asked for one, or would not give one.
    pub(crate) async fn current(&self, exchange: &Exchange<'_>) -> Result<Option<Held>, Error> {
        let before = self.ended.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        match (&state.held, &state.challenge) {
            (Some(held), _) if held.grant.fresh_until > Instant::now() => Ok(Some(held.clone())),
            (Some(_), Some(challenge)) => {
                let challenge = challenge.clone();
                self.exchange(&mut state, before, &challenge, exchange).await
            }
            _ => Ok(None),
        }
    }

    /// Meets a challenge that came although `used` was sent. None if it cannot be met.
    pub(crate) async fn meet(
        &self,
        challenge: &Challenge,
        used: Option<&Held>,
        exchange: &Exchange<'_>,
    ) -> Result<Option<Held>, Error> {
        let before = self.ended.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        let used = used.map(|held| held.number);
        if let Some(held) = &state.held
            && Some(held.number) != used
        {
            // Somebody else has met it in the meantime.
            return Ok(Some(held.clone()));
        }
        self.exchange(&mut state, before, challenge, exchange).await
    }

    /// One exchange, under the lock. Whoever waited for the lock meanwhile shares its outcome,
    /// also if it failed: a realm in trouble is not asked once per waiter.
    async fn exchange(
        &self,
        state: &mut State,
        before: u64,
        challenge: &Challenge,
        exchange: &Exchange<'_>,
    ) -> Result<Option<Held>, Error> {
        if self.ended.load(Ordering::Acquire) != before {
            match state.last.clone() {
                Some(Outcome::Denied) => return Ok(None),
                Some(Outcome::Failed(error)) => return Err(error),
                None => {}
            }
        }
        let result = exchange.grant(challenge).await;
        let number = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        state.challenge = Some(challenge.clone());
        state.held = None;
        match result {
            Ok(Some(grant)) => {
                state.last = None;
                state.held = Some(Held { grant, number });
                Ok(state.held.clone())
            }
            Ok(None) => {
                state.last = Some(Outcome::Denied);
                Ok(None)
            }
            Err(error) => {
                state.last = Some(Outcome::Failed(error.clone()));
                Err(error)
            }
        }
    }
}
