//! Who somebody is: a role and a name, as a certificate of the cluster says it.
//!
//! A certificate has two names. The URI `meganeura://<role>/<name>` is the identity. The DNS name
//! `<role>.meganeura` lets the TLS library itself refuse the wrong role, before we look.

use std::fmt;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::IdentityError;

const SCHEME: &str = "meganeura://";

/// The longest name of a member.
const LONGEST_NAME: usize = 63;

/// What a member of the cluster is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Schedules, and reads the origin.
    Supernode,
    /// Takes pieces and passes them on.
    Node,
}

impl Role {
    /// The role as certificates have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supernode => "supernode",
            Self::Node => "node",
        }
    }

    /// The DNS name that every certificate of the role bears.
    pub(crate) const fn server_name(self) -> &'static str {
        match self {
            Self::Supernode => "supernode.meganeura",
            Self::Node => "node.meganeura",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A member of the cluster, read from a verified certificate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PeerIdentity {
    /// What it is.
    pub role: Role,
    /// Its name, unique in the cluster.
    pub name: String,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

impl PeerIdentity {
    /// A member.
    ///
    /// # Errors
    /// If the name is none ([`is_node_name`]).
    pub fn new(role: Role, name: &str) -> Result<Self, IdentityError> {
        if !is_node_name(name) {
            return Err(IdentityError::Name(shorten(name)));
        }
        Ok(Self { role, name: name.to_owned() })
    }

    pub(crate) fn uri(&self) -> String {
        format!("{SCHEME}{}/{}", self.role, self.name)
    }

    fn from_uri(uri: &str) -> Option<Self> {
        let (role, name) = uri.strip_prefix(SCHEME)?.split_once('/')?;
        let role = match role {
            "supernode" => Role::Supernode,
            "node" => Role::Node,
            _ => return None,
        };
        Self::new(role, name).ok()
    }

    /// Who the certificate is for. That it is to be believed was checked before.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let wrong = |what| IdentityError::Certificate(format!("its certificate {what}"));
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| wrong("cannot be read"))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|_| wrong("has unreadable names"))?
            .ok_or_else(|| wrong("has no names"))?;
        let mut ours = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
            _ => None,
        });
        // Two names would be two answers to one question.
        match (ours.next(), ours.next()) {
            (Some(uri), None) => Self::from_uri(uri).ok_or_else(|| wrong("names no role and name")),
            (None, _) => Err(wrong("names no member of a cluster")),
            (Some(_), Some(_)) => Err(wrong("names more than one member")),
        }
    }
}

/// Whether `name` may be a member's: 1 to 63 of `a-z`, `0-9`, `.` and `-`, with a letter or digit
/// at both ends.
#[must_use]
pub fn is_node_name(name: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= LONGEST_NAME
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || matches!(byte, b'.' | b'-'))
}

/// Foreign text, made fit for a message.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "node-1", "ip-10-0-0-1.eu.internal", &"x".repeat(63)] {
            assert!(is_node_name(good), "{good}");
        }
        for bad in ["", ".", "..", "-a", "a-", "A", "a b", "a/b", "ä", "a\0", &"x".repeat(64)] {
            assert!(!is_node_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_uri_gives_role_and_name_back() {
        let peer = PeerIdentity::new(Role::Node, "n-1.zone").expect("a name");
        assert_eq!(PeerIdentity::from_uri(&peer.uri()), Some(peer));
        for bad in [
            "meganeura://admin/x",
            "meganeura://node/",
            "meganeura://node/a/b",
            "meganeura://node",
            "spiffe://node/x",
        ] {
            assert_eq!(PeerIdentity::from_uri(bad), None, "{bad}");
        }
    }
}
