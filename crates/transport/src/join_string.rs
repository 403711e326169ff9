//! What an operator hands to a node so that it can join: whom to believe, what to say, where.
//!
//! `mgn1.<SHA-256 of the CA certificate, hex>.<secret>@host:port[,host:port]`

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

const PREFIX: &str = "mgn1.";

/// More supernodes than any cluster has.
const MOST_ADDRESSES: usize = 64;

/// A join string.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinString {
    ca_hash: [u8; 32],
    secret: Zeroizing<String>,
    addresses: Vec<String>,
}

/// Why a text is no join string. The text itself is not repeated: it holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinStringError {
    /// It does not begin as join strings do.
    #[error("a join string begins with \"{PREFIX}\"; `supernode join-string` prints it")]
    Prefix,
    /// The hash is missing or cut.
    #[error(
        "the join string's second part is not a hash of 64 hexadecimal digits; was it cut when it was copied?"
    )]
    Hash,
    /// The secret is missing or has signs that it cannot have.
    #[error("the join string's secret is not 16 to 128 of A-Z, a-z, 0-9, '-' and '_'")]
    Secret,
    /// There is no address, too many, or one that is none.
    #[error("the join string does not end with @host:port, or several parted by commas")]
    Address,
}

impl JoinString {
    pub(crate) fn new(ca_hash: [u8; 32], secret: &str, addresses: Vec<String>) -> Self {
        Self { ca_hash, secret: Zeroizing::new(secret.to_owned()), addresses }
    }

    /// The SHA-256 of the cluster's CA certificate (DER).
    #[must_use]
    pub const fn ca_hash(&self) -> &[u8; 32] {
        &self.ca_hash
    }

    /// Where supernodes are.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }
}

/// Whether a text may be a join secret.
pub(crate) fn is_secret(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a text looks like `host:port`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
        !host.is_empty()
            && host.chars().all(plain)
            && (!host.contains(':') || host.starts_with('['))
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

impl FromStr for JoinString {
    type Err = JoinStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(JoinStringError::Prefix)?;
        let (hash, rest) = rest.split_once('.').ok_or(JoinStringError::Hash)?;
        let mut ca_hash = [0; 32];
        hex::decode_to_slice(hash, &mut ca_hash).map_err(|_| JoinStringError::Hash)?;
        let (secret, addresses) = rest.split_once('@').ok_or(JoinStringError::Address)?;
        if !is_secret(secret) {
            return Err(JoinStringError::Secret);
        }
        let addresses: Vec<String> = addresses.split(',').map(str::to_owned).collect();
        if addresses.len() > MOST_ADDRESSES || !addresses.iter().all(|address| is_address(address))
        {
            return Err(JoinStringError::Address);
        }
        Ok(Self::new(ca_hash, secret, addresses))
    }
}

impl fmt::Display for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = hex::encode(self.ca_hash);
        let addresses = self.addresses.join(",");
        write!(f, "{PREFIX}{hash}.{}@{addresses}", self.secret.as_str())
    }
}

impl fmt::Debug for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinString")
            .field("ca_hash", &hex::encode(self.ca_hash))
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "abcdefghij-KLMN_0123";

    #[test]
    fn a_join_string_survives_being_written_down() {
        let addresses = vec!["a.example:8002".into(), "[::1]:8002".into()];
        let join = JoinString::new([0xab; 32], SECRET, addresses);
        let text = join.to_string();
        assert_eq!(text.parse(), Ok(join.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(join.clone()));
        assert!(!format!("{join:?}").contains(SECRET));
    }

    #[test]
    fn what_is_wrong_with_a_join_string_is_told() {
        let hash = "ab".repeat(32);
        for (text, error) in [
            (String::new(), JoinStringError::Prefix),
            (format!("mgn2.{hash}.{SECRET}@a:1"), JoinStringError::Prefix),
            (format!("mgn1.{}.{SECRET}@a:1", &hash[2..]), JoinStringError::Hash),
            (format!("mgn1.{hash}"), JoinStringError::Hash),
            (format!("mgn1.{hash}.short@a:1"), JoinStringError::Secret),
            (format!("mgn1.{hash}.{SECRET} x@a:1"), JoinStringError::Secret),
            (format!("mgn1.{hash}.{SECRET}"), JoinStringError::Address),
            (format!("mgn1.{hash}.{SECRET}@"), JoinStringError::Address),
            (format!("mgn1.{hash}.{SECRET}@a"), JoinStringError::Address),
            (format!("mgn1.{hash}.{SECRET}@a:0"), JoinStringError::Address),
            (format!("mgn1.{hash}.{SECRET}@a:1,"), JoinStringError::Address),
            (format!("mgn1.{hash}.{SECRET}@::1:1"), JoinStringError::Address),
            (format!("mgn1.{hash}.{SECRET}@a b:1"), JoinStringError::Address),
        ] {
            assert_eq!(text.parse::<JoinString>(), Err(error), "{text}");
            assert!(!error.to_string().contains(SECRET));
        }
    }
}
