//! What one member holds: its key and certificate, and whom it believes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use content::Verifier;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::ServerCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};
use wire::join::Joined;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::authority::pem;
use crate::certificate::{self, SKEW, failed};
use crate::error::IdentityError;
use crate::keep;
use crate::role::{PeerIdentity, Role};
use crate::tls;

/// A member's identity. Clones share it.
#[derive(Clone)]
pub struct Identity {
    held: Arc<Held>,
}

struct Held {
    parts: Parts,
    peer: PeerIdentity,
    certified: Arc<CertifiedKey>,
    valid: (SystemTime, SystemTime),
}

/// What an identity is made of.
pub(crate) struct Parts {
    /// PKCS#8, DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) verifier: Verifier,
    pub(crate) supernodes: Vec<String>,
}

/// An identity's file.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    /// PEM, like the next two.
    key: String,
    certificate: String,
    ca: String,
    /// Ed25519 public keys in hex.
    cluster_keys: Vec<String>,
    supernodes: Vec<String>,
}

impl Identity {
    pub(crate) fn assemble(parts: Parts) -> Result<Self, IdentityError> {
        let peer = PeerIdentity::of(&parts.certificate)?;
        let valid = certificate::validity(&parts.certificate)?;
        let mut chain = vec![parts.certificate.clone()];
        if peer.role == Role::Supernode {
            // A node that joins knows the CA by its hash only.
            chain.push(parts.ca.clone());
        }
        let key = PrivatePkcs8KeyDer::from(parts.key.to_vec()).into();
        // Also makes sure that the key is the certificate's.
        let certified = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(failed)?;
        Ok(Self { held: Arc::new(Held { parts, peer, certified: Arc::new(certified), valid }) })
    }

    /// Reads what [`Identity::save`] wrote; `None` if there is nothing.
    ///
    /// # Errors
    /// If the file cannot be read, can be read by everybody, or makes no sense.
    pub fn load(path: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(text) = keep::read(path)? else {
            return Ok(None);
        };
        let malformed = |what: String| IdentityError::Malformed { path: path.to_owned(), what };
        let kept: Kept = serde_json::from_str(&text)
            .map_err(|error| malformed(format!("line {} is not as it should be", error.line())))?;
        kept.identity().map(Some).map_err(|error| malformed(error.to_string()))
    }

    /// Writes the identity into a file that is its owner's only.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let parts = &self.held.parts;
        let kept = Kept {
            version: 1,
            key: pem("PRIVATE KEY", &parts.key),
            certificate: pem("CERTIFICATE", &parts.certificate),
            ca: pem("CERTIFICATE", &parts.ca),
            cluster_keys: parts.verifier.keys().iter().map(hex::encode).collect(),
            supernodes: parts.supernodes.clone(),
        };
        let text = serde_json::to_string_pretty(&kept).map(Zeroizing::new).map_err(failed)?;
        keep::replace(path, &text)
    }

    /// Who this is.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.held.peer
    }

    /// The member's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.held.peer.name
    }

    /// Whose statements and tickets are believed.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.held.parts.verifier.clone()
    }

    /// Where the cluster's supernodes were when the certificate was signed.
    #[must_use]
    pub fn supernodes(&self) -> &[String] {
        &self.held.parts.supernodes
    }

    /// When the certificate ends.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.held.valid.1
    }

    /// When a new certificate should be asked for: with a third of its life left, so that days of
    /// outage cut nobody off.
    #[must_use]
    pub fn renew_at(&self) -> SystemTime {
        let (from, until) = self.held.valid;
        let life = until.duration_since(from + SKEW).unwrap_or_default();
        until - life / 3
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.held.certified)
    }

    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.held.parts.ca
    }
}

impl Kept {
    fn identity(&self) -> Result<Identity, IdentityError> {
        if self.version != 1 {
            return Err(failed("version is not 1"));
        }
        let certificate = |text: &str, what: &str| {
            CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|_| failed(format_args!("{what} is not a certificate in PEM")))
        };
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|_| failed("key is not a PKCS#8 key in PEM"))?;
        let keys = self.cluster_keys.iter().map(|text| hex::decode(text).unwrap_or_default());
        Identity::assemble(Parts {
            key: Zeroizing::new(key.secret_pkcs8_der().to_vec()),
            certificate: certificate(&self.certificate, "certificate")?,
            ca: certificate(&self.ca, "ca")?,
            verifier: verifier(keys)?,
            supernodes: self.supernodes.clone(),
        })
    }
}

fn verifier(keys: impl Iterator<Item = Vec<u8>>) -> Result<Verifier, IdentityError> {
    let keys = keys
        .map(|key| {
            <[u8; 32]>::try_from(key).map_err(|_| failed("a cluster key is not of 32 bytes"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(failed("the cluster has no keys"));
    }
    Ok(Verifier::new(keys))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("peer", &self.held.peer)
            .field("expires_at", &self.held.valid.1)
            .finish_non_exhaustive()
    }
}

/// A new key, and the request for its certificate.
pub(crate) struct KeyRequest {
    key: Zeroizing<Vec<u8>>,
    der: Vec<u8>,
}

impl KeyRequest {
    pub(crate) fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(failed)?;
        let request = CertificateParams::default().serialize_request(&key).map_err(failed)?;
        Ok(Self { der: request.der().to_vec(), key: Zeroizing::new(key.serialize_der()) })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn into_key(self) -> Zeroizing<Vec<u8>> {
        self.key
    }

    /// The identity that the answer makes of the key. The answer came over a believed connection;
    /// it is checked nevertheless, so that nobody runs for days on what nobody else accepts.
    pub(crate) fn answered(
        self,
        joined: Joined,
        wanted: &PeerIdentity,
        ca: &CertificateDer<'static>,
        supernodes: &[String],
    ) -> Result<Identity, IdentityError> {
        if joined.ca != ca.as_ref() {
            return Err(failed("the answer is of another cluster"));
        }
        let identity = Identity::assemble(Parts {
            key: self.key,
            certificate: joined.certificate.into(),
            ca: ca.clone(),
            verifier: verifier(joined.keys.into_iter())?,
            supernodes: if joined.supernodes.is_empty() {
                supernodes.to_vec()
            } else {
                joined.supernodes
            },
        })?;
        if identity.peer() != wanted {
            return Err(failed("the new certificate is somebody else's"));
        }
        let role = ServerName::try_from(wanted.role.server_name()).map_err(failed)?;
        tls::web_verifier(ca)?
            .verify_server_cert(&identity.held.parts.certificate, &[], &role, &[], UnixTime::now())
            .map_err(|error| failed(format_args!("the new certificate is not good: {error}")))?;
        Ok(identity)
    }
}
