//! OCI distribution client: the one place where upstreams are contacted.
//!
//! The supernode reads the origin through it for the whole cluster, and a node does when no
//! supernode answers. Read it in this order:
//!
//! - [`config`]: which registries and URLs are admitted, and how each is reached;
//! - [`names`], [`credential`], [`on_behalf`], [`error`]: what is asked for, on whose behalf, and what can go wrong;
//! - `address`, `resolver`, `proxy`, `tls`, `door`: one HTTP exchange, with the address policy in it;
//! - `sites`, `redirect`, `retry`: from one exchange to an answer;
//! - `auth`, `own`: challenges, tokens, and the credentials that we hold ourselves;
//! - `call`, [`registries`] and the operations on it: [`manifest`], [`blob`], [`page`], [`url_origin`];
//! - [`push`], `sent`: what we write: blobs, manifests;
//! - `resume`: a body that goes on at the byte where a connection was cut.
//!
//! Nothing in here prints a credential, a token or the query of a URL: not in a log, an error, nor
//! in any `Debug`.

mod address;
mod auth;
mod call;
mod content_range;
mod door;
mod handed_on;
mod own;
mod proxy;
mod redirect;
mod reply;
mod resolver;
mod resume;
mod retry;
mod sent;
mod sites;
mod tls;
mod url_prefix;

pub mod blob;
pub mod config;
pub mod credential;
pub mod error;
pub mod manifest;
pub mod names;
pub mod on_behalf;
pub mod page;
pub mod push;
pub mod registries;
pub mod span;
pub mod url_origin;

pub use blob::{BlobInfo, BlobStream, ObjectKind};
pub use config::{CredentialsConfig, RegistriesConfig, RegistryConfig};
pub use credential::{Caller, Credential, InvalidCredential};
pub use error::{ConfigError, Error, Refusal};
pub use manifest::{ManifestAnswer, ManifestMethod, ManifestRequest};
pub use names::{NameError, Reference, Repository};
pub use on_behalf::RequestId;
pub use page::{Page, Passed};
pub use registries::Registries;
pub use span::Span;
pub use url_origin::UrlStream;

/// What upstreams see us as.
pub(crate) const USER_AGENT: &str = concat!("meganeura/", env!("CARGO_PKG_VERSION"));
