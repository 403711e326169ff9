//! What can go wrong between us and an upstream. No variant carries a credential, a token, or the
//! path or query of a URL.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use content::Digest;

/// Why an upstream gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not admit this registry.
    #[error("registry {registry} is not admitted by the configuration")]
    NotAdmitted {
        /// As it was asked for.
        registry: String,
    },
    /// The configuration does not admit this URL.
    #[error("no URL prefix in the configuration admits this URL on {host}")]
    UrlNotAdmitted {
        /// The URL's host.
        host: String,
    },
    /// The address policy denies where a host lies.
    #[error("{host} lies at {address}, which may not be contacted from here")]
    AddressDenied {
        /// The host that was to be contacted.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// A registry sent us for a token to a host that may not issue tokens for it.
    #[error(
        "registry {registry} wants its token from {realm}, which is not among its token realms"
    )]
    RealmDenied {
        /// The registry that asked for a token.
        registry: String,
        /// The host that it named.
        realm: String,
    },
    /// A redirect that is not followed.
    #[error("a redirect from {host} is not followed: {why}")]
    RedirectDenied {
        /// Who sent the redirect.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The registry refused; its answer is for the client.
    #[error("the registry refused with status {}", .0.status)]
    Refused(Box<Refusal>),
    /// The bytes are not what the digest says.
    #[error("the registry's bytes have digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was asked for, or what the registry's header said.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// An answer is larger than we take.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// Which answer.
        what: &'static str,
        /// The most that is taken.
        limit: u64,
    },
    /// The range that was asked for holds no byte of the object.
    #[error("the range lies outside of the object")]
    OutOfRange {
        /// The object's length, if the upstream told it.
        total: Option<u64>,
    },
    /// What a URL stands for changed while it was read.
    #[error("the content at {host} changed while it was read")]
    Changed {
        /// The URL's host.
        host: String,
    },
    /// The upstream broke the protocol.
    #[error("{host} broke the protocol: {what}")]
    Protocol {
        /// The upstream.
        host: String,
        /// How.
        what: String,
    },
    /// The upstream could not be reached, or the connection broke.
    #[error("no connection to {host}: {what}")]
    Network {
        /// The upstream.
        host: String,
        /// What the operating system or the HTTP library said.
        what: String,
    },
    /// No trust in the upstream's certificate, or no common TLS.
    #[error("no TLS with {host}: {what}")]
    Tls {
        /// The upstream.
        host: String,
        /// What the TLS library said.
        what: String,
    },
    /// The upstream was silent for too long.
    #[error("{host} was silent for too long while {during}")]
    Timeout {
        /// The upstream.
        host: String,
        /// What was waited for.
        during: &'static str,
    },
    /// Our own credentials could not be read.
    #[error("our own credentials for {registry} cannot be read: {what}")]
    Credentials {
        /// The registry that they are for.
        registry: String,
        /// What failed; never the credentials.
        what: String,
    },
}

impl Error {
    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } => true,
            Self::Refused(refusal) => is_transient_status(refusal.status),
            _ => false,
        }
    }

    pub(crate) fn protocol(host: &str, what: impl Into<String>) -> Self {
        Self::Protocol { host: host.to_owned(), what: what.into() }
    }
}

/// The statuses that tell of a passing trouble.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// What the registry said, to be handed through to the client.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The registry's challenges, one per `WWW-Authenticate` line.
    pub www_authenticate: Vec<String>,
    /// The body's media type.
    pub content_type: Option<String>,
    /// The body, at most 64 KiB; empty if the registry's was larger.
    pub body: Bytes,
    /// `Retry-After` and rate limits, names in lower case.
    pub headers: Vec<(String, String)>,
    /// How long the registry asks to wait.
    pub retry_after: Option<Duration>,
}

/// The body may echo what was sent, so only its length is shown.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("body_length", &self.body.len())
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A registry's host is no host.
    #[error("registry {host:?}: not a host with an optional port, nor `*.` and a domain")]
    Host {
        /// As configured.
        host: String,
    },
    /// A registry stands there twice.
    #[error("registry {host:?} is configured twice")]
    Duplicate {
        /// As configured.
        host: String,
    },
    /// A registry's settings contradict each other.
    #[error("registry {host:?}: {why}")]
    Registry {
        /// As configured.
        host: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The default registry is not admitted.
    #[error("the default registry {host:?} is not among the configured ones")]
    Default {
        /// As configured.
        host: String,
    },
    /// A URL prefix cannot be used.
    #[error("url prefix {prefix:?}: {why}")]
    UrlPrefix {
        /// As configured.
        prefix: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A file of certificate authorities cannot be used.
    #[error("certificate authorities in {path:?}: {what}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// What failed.
        what: String,
    },
    /// The HTTP client or its TLS could not be set up.
    #[error("the HTTP client cannot be set up: {what}")]
    Client {
        /// What failed.
        what: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_print_its_body() {
        let refusal = Refusal {
            status: 401,
            www_authenticate: vec!["Bearer realm=\"https://a/?k=s3cret\"".into()],
            content_type: None,
            body: Bytes::from_static(b"you sent s3cret"),
            headers: vec![],
            retry_after: None,
        };
        let error = Error::Refused(Box::new(refusal));
        assert!(!format!("{error:?} {error}").contains("s3cret"));
        assert!(!error.is_transient());
    }
}
