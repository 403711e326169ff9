//! Why a task came to nothing, in one form from the origin to the client.

use content::Mismatch;
use wire::request::{self, Header, Kind, Said};

/// Why something cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: Kind,
    /// The cause, and the remedy where there is one.
    pub message: String,
    /// What the registry said, to be handed through to the client.
    pub said: Option<Said>,
}

impl Failure {
    /// A failure of `kind`.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), said: None }
    }

    /// Whether a registry does not serve this caller, or does not any more.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        let status = self.said.as_ref().map(|said| said.status);
        self.kind == Kind::Refused && matches!(status, Some(401 | 403))
    }

    /// Whether trying again later may help, without the asker changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Origin | Kind::Other)
    }
}

impl From<Mismatch> for Failure {
    fn from(mismatch: Mismatch) -> Self {
        Self::new(Kind::Mismatch, format!("the bytes are not what their digest says: {mismatch}"))
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        let message = error.to_string();
        match error {
            registry::Error::Refused(refusal) => {
                Self { kind: Kind::Refused, message, said: Some(said(*refusal)) }
            }
            registry::Error::NotAdmitted { .. }
            | registry::Error::AddressDenied { .. }
            | registry::Error::RealmDenied { .. } => Self::new(Kind::NotAdmitted, message),
            registry::Error::DigestMismatch { .. } => Self::new(Kind::Mismatch, message),
            _ => Self::new(Kind::Origin, message),
        }
    }
}

impl From<Failure> for request::Failure {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind.into(), message: failure.message, said: failure.said }
    }
}

impl From<request::Failure> for Failure {
    fn from(told: request::Failure) -> Self {
        Self { kind: told.kind(), message: told.message, said: told.said }
    }
}

/// A page of a registry, to be handed through to the client.
#[must_use]
pub fn passed(page: registry::Passed) -> Said {
    let header = |(name, value)| Header { name, value };
    let media_type = page.content_type.map(|value| ("content-type".to_owned(), value));
    Said {
        status: u32::from(page.status),
        headers: media_type.into_iter().chain(page.headers).map(header).collect(),
        body: page.body.to_vec(),
    }
}

fn said(refusal: registry::Refusal) -> Said {
    let header = |name: &str, value: String| Header { name: name.to_owned(), value };
    let mut headers: Vec<_> = refusal
        .www_authenticate
        .into_iter()
        .map(|value| header("www-authenticate", value))
        .collect();
    headers.extend(refusal.content_type.map(|value| header("content-type", value)));
    headers.extend(refusal.headers.iter().map(|(name, value)| header(name, value.clone())));
    Said { status: u32::from(refusal.status), headers, body: refusal.body.to_vec() }
}
