//! What dfdaemon says when it gives nothing, and whether the registry may be asked then.
//!
//! Whoever asks a registry because dfdaemon is slow makes a slow registry slower, and all nodes do so
//! at once. So what dfdaemon says is told apart:
//!
//! | it | so | |
//! |---|---|---|
//! | is not there, or answers nothing at all | the registry is asked | [`Failed::Away`] |
//! | says that the asker may help itself, or what the registry has refused | the registry is asked | [`Failed::Refuses`] |
//! | answers what no dfdaemon should | the registry is asked, if a reader waits | [`Failed::Odd`] |
//! | has it not yet, has lost its origin, ends short | it is asked again | [`Failed::Busy`] |

use std::io;

use http::StatusCode;
use lazy::Urgency;

/// Why dfdaemon does not give something.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Nobody listens, or answers.
    #[error("dfdaemon is away: {0}")]
    Away(io::Error),
    /// It will not, whoever waits how long.
    #[error("dfdaemon says {0}")]
    Refuses(String),
    /// It says what no dfdaemon should.
    #[error("dfdaemon gives an odd answer: {0}")]
    Odd(String),
    /// It may give it later.
    #[error("dfdaemon does not have it yet: {0}")]
    Busy(String),
}

impl Failed {
    /// Whether the registry may be asked instead.
    pub(super) fn leaves_the_registry(&self, urgency: Urgency) -> bool {
        match self {
            Self::Away(_) | Self::Refuses(_) => true,
            Self::Odd(_) => urgency == Urgency::Blocked,
            Self::Busy(_) => false,
        }
    }
}

impl From<Failed> for io::Error {
    /// An outage, which may pass.
    fn from(failed: Failed) -> Self {
        Self::new(io::ErrorKind::ResourceBusy, failed)
    }
}

/// What an answer that brings no bytes means. The kinds are those of dfdaemon's local API.
pub(super) fn meaning(status: StatusCode, body: &[u8]) -> Failed {
    let told: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| told.get(name).and_then(serde_json::Value::as_str);
    let said = format!("{status}, {}", text("error").unwrap_or("and no more"));
    match text("kind") {
        Some("not-admitted" | "not-shared") => Failed::Refuses(said),
        // The registry's own word. Too many requests, or its own trouble, is no word on the blob.
        Some("refused") if status.is_client_error() && status.as_u16() != 429 => {
            Failed::Refuses(said)
        }
        Some("refused" | "origin" | "unavailable") => Failed::Busy(said),
        // Also that the bytes of the whole are not what their digest says: each chunk has its own.
        _ => Failed::Odd(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dfdaemon_says_is_told_apart() {
        let of = |status: u16, kind: &str| {
            let body = serde_json::json!({ "error": "why", "kind": kind }).to_string();
            let failed = meaning(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            let may = |urgency| failed.leaves_the_registry(urgency);
            (may(Urgency::Blocked), may(Urgency::Prefetch))
        };
        let (all, reader, none) = ((true, true), (true, false), (false, false));
        for (status, kind, may) in [
            (403, "not-admitted", all),
            (422, "not-shared", all),
            (401, "refused", all),
            (404, "refused", all),
            (429, "refused", none),
            (503, "refused", none),
            (502, "origin", none),
            (503, "unavailable", none),
            (502, "mismatch", reader),
            (500, "something new", reader),
        ] {
            assert_eq!(of(status, kind), may, "{status} {kind}");
        }
        let plain = meaning(StatusCode::SERVICE_UNAVAILABLE, b"down");
        assert!(plain.leaves_the_registry(Urgency::Blocked), "{plain}");
        assert!(!plain.leaves_the_registry(Urgency::Prefetch), "{plain}");
    }
}
