//! A client's credential as it is carried: never printed, wiped when the last copy goes.

use std::fmt;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use http::HeaderValue;
use zeroize::Zeroizing;

/// The value of an `Authorization` header that a client sent.
///
/// Copies share one allocation, which is wiped at the end. (The HTTP library makes a copy of its
/// own for the time of a request; that one is marked sensitive, but is not wiped.)
#[derive(Clone)]
pub struct Credential(Arc<Zeroizing<String>>);

/// The text cannot be the value of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credential cannot be the value of a header")]
pub struct InvalidCredential;

/// Keys the fingerprints of this process; drawn once, and never leaves it.
static FINGERPRINT_KEY: LazyLock<Option<hmac::Key>> = LazyLock::new(|| {
    let random = aws_lc_rs::rand::SystemRandom::new();
    hmac::Key::generate(hmac::HMAC_SHA256, &random).ok()
});

/// Longer values are refused: no registry's token comes near, and a header has to fit a request.
const LONGEST: usize = 32 * 1024;

impl Credential {
    /// Takes the value of an `Authorization` header, scheme included.
    ///
    /// # Errors
    /// The text is empty, longer than 32 KiB, or has characters that no header may have.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidCredential> {
        let value = Zeroizing::new(value.into());
        let fits = !value.is_empty() && value.len() <= LONGEST;
        if !fits || HeaderValue::from_str(&value).is_err() {
            return Err(InvalidCredential);
        }
        Ok(Self(Arc::new(value)))
    }

    /// The header's value in clear, to be passed on over TLS and to nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A name for this credential that is stable within this process, for keys of caches: HMAC
    /// under a key that was drawn at its start. It says nothing about the credential, not even to
    /// somebody who can guess it.
    ///
    /// # Panics
    /// If the system has no random numbers.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        // Without randomness TLS does not work either: nothing gets as far as here.
        let Some(key) = FINGERPRINT_KEY.as_ref() else {
            panic!("the system gives no random numbers");
        };
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(key, self.0.as_bytes()).as_ref());
        out
    }

    /// As a header that the HTTP library treats as sensitive.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        sensitive(&self.0)
    }
}

/// A header value that is neither printed nor put into HPACK's table.
pub(crate) fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(value).ok()?;
    header.set_sensitive(true);
    Some(header)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// On whose behalf an upstream is asked.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A client, with the credential that it sent, or anonymous.
    Client(Option<Credential>),
    /// Ourselves, with the credentials that the configuration names.
    Own,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_never_printed() {
        let caller = Caller::Client(Some(Credential::new("Bearer s3cret").unwrap()));
        assert!(!format!("{caller:?}").contains("s3cret"));
        assert!(
            !format!("{:?}", Credential::new("Basic s3cret").unwrap().header()).contains("s3cret")
        );
    }

    #[test]
    fn equal_credentials_have_equal_fingerprints() {
        let of = |text: &str| Credential::new(text).unwrap().fingerprint();
        assert_eq!(of("Bearer a"), of("Bearer a"));
        assert_ne!(of("Bearer a"), of("Bearer b"));
        assert_ne!(&of("Bearer a"), content::Digest::of(b"Bearer a").as_bytes(), "keyed");
    }

    #[test]
    fn what_could_smuggle_a_header_is_refused() {
        for bad in ["", "Bearer a\r\nHost: b", "Bearer \0", &"x".repeat(40_000)] {
            assert!(Credential::new(bad).is_err());
        }
    }
}
