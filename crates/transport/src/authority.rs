//! The cluster's certificate authority: who is a member, and whose statements are believed.
//!
//! Its file is configuration: made at the first start, or given, and the same for all supernodes
//! of a cluster, so that the cluster outlives any one supernode's disk.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use content::{Digest, Signer, Verifier};
use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use wire::join::Joined;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::certificate::{self, failed};
use crate::error::IdentityError;
use crate::identity::{Identity, KeyRequest, Parts};
use crate::join_string::{JoinString, is_secret};
use crate::keep;
use crate::role::{PeerIdentity, Role};

/// How long a certificate is good: an outage of days does not cut running nodes off, and a stolen
/// one is of no use for long.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The longest request for a certificate that is read at all.
const LONGEST_REQUEST: usize = 4096;

/// The cluster: its CA, its signing key, and the secret of its join string.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    signer: Arc<Signer>,
    secret: Zeroizing<String>,
    supernodes: RwLock<Vec<String>>,
}

/// The authority's file.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    /// PEM.
    ca_certificate: String,
    /// PKCS#8 in PEM.
    ca_key: String,
    /// The Ed25519 seed, 32 bytes in hex.
    signing_seed: String,
    join_secret: String,
}

impl Kept {
    fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(failed)?;
        let ca = certificate::root(&key)?;
        Ok(Self {
            version: 1,
            ca_certificate: pem("CERTIFICATE", &ca),
            ca_key: key.serialize_pem(),
            signing_seed: hex::encode(Zeroizing::new(certificate::random::<32>()?)),
            join_secret: URL_SAFE_NO_PAD.encode(Zeroizing::new(certificate::random::<24>()?)),
        })
    }

    fn to_json(&self) -> Result<Zeroizing<String>, IdentityError> {
        serde_json::to_string_pretty(self).map(Zeroizing::new).map_err(failed)
    }
}

/// DER as PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

impl Authority {
    /// A new cluster that is kept nowhere: for tests, and for trying things out.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::from_kept(&Kept::generate()?)
    }

    /// The cluster whose file `path` is; a new one if there is none. The file is its owner's only.
    ///
    /// # Errors
    /// If the file cannot be read or written, can be read by everybody, or makes no sense.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        if let Some(text) = keep::read(path)? {
            return Self::from_json(path, &text);
        }
        let kept = Kept::generate()?;
        if keep::create(path, &kept.to_json()?)? {
            tracing::info!(path = %path.display(), "a new cluster has been made");
            return Self::from_kept(&kept);
        }
        // Another supernode on the same folder was quicker: its cluster is ours.
        let text =
            keep::read(path)?.ok_or_else(|| failed("the authority's file comes and goes"))?;
        Self::from_json(path, &text)
    }

    fn from_json(path: &Path, text: &str) -> Result<Self, IdentityError> {
        let malformed = |what: String| IdentityError::Malformed { path: path.to_owned(), what };
        // serde_json's own words may quote the file.
        let kept: Kept = serde_json::from_str(text)
            .map_err(|error| malformed(format!("line {} is not as it should be", error.line())))?;
        Self::from_kept(&kept).map_err(|error| malformed(error.to_string()))
    }

    fn from_kept(kept: &Kept) -> Result<Self, IdentityError> {
        if kept.version != 1 {
            return Err(failed("version is not 1"));
        }
        let ca = CertificateDer::from_pem_slice(kept.ca_certificate.as_bytes())
            .map_err(|_| failed("ca_certificate is not a certificate in PEM"))?;
        let mut der = PrivateKeyDer::from_pem_slice(kept.ca_key.as_bytes())
            .map_err(|_| failed("ca_key is not a key in PEM"))?;
        let key = KeyPair::try_from(&der).map_err(|_| failed("ca_key cannot be used"));
        der.zeroize();
        let key = key?;
        if !certificate::is_root_of(&ca, &key) {
            return Err(failed("ca_certificate is no CA, or not that of ca_key"));
        }
        let seed = hex::decode(&kept.signing_seed)
            .map(Zeroizing::new)
            .map_err(|_| failed("signing_seed is not hexadecimal"))?;
        if !is_secret(&kept.join_secret) {
            return Err(failed("join_secret is not 16 to 128 of A-Z, a-z, 0-9, '-' and '_'"));
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&ca, key).map_err(failed)?,
            ca,
            signer: Arc::new(Signer::from_seed(&seed).map_err(failed)?),
            secret: Zeroizing::new(kept.join_secret.clone()),
            supernodes: RwLock::default(),
        })
    }

    /// What signs statements and tickets.
    #[must_use]
    pub fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer)
    }

    /// What verifies them.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.signer.verifier()
    }

    /// Where the cluster's supernodes are, as nodes that join or renew are told.
    pub fn set_supernodes(&self, addresses: Vec<String>) {
        *self.supernodes.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// What a node needs in order to join at one of `addresses`.
    #[must_use]
    pub fn join_string(&self, addresses: &[String]) -> JoinString {
        JoinString::new(*Digest::of(&self.ca).as_bytes(), self.secret.as_str(), addresses.to_vec())
    }

    /// Whether `secret` is the join string's, in a time that tells nothing of it.
    #[must_use]
    pub fn admits(&self, secret: &str) -> bool {
        let (ours, theirs) = (self.secret.as_bytes(), secret.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(ours, theirs).is_ok()
    }

    /// Signs a certificate for whoever holds the key of `request_der` (PKCS#10). The caller has
    /// made sure that role and name are the holder's; of the request only the key counts.
    ///
    /// # Errors
    /// If the name is none, or the request is none, too long, or not signed by its own key.
    pub fn issue(
        &self,
        request_der: &[u8],
        role: Role,
        name: &str,
        lifetime: Duration,
    ) -> Result<Joined, IdentityError> {
        let peer = PeerIdentity::new(role, name)?;
        if request_der.len() > LONGEST_REQUEST {
            return Err(failed("the certificate request is too long"));
        }
        let der = CertificateSigningRequestDer::from(request_der);
        let request = CertificateSigningRequestParams::from_der(&der)
            .map_err(|_| failed("the certificate request is not valid"))?;
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(failed("the certificate request's key is not ECDSA P-256"));
        }
        let certificate = certificate::leaf(&self.issuer, &request.public_key, &peer, lifetime)?;
        Ok(Joined {
            refusal: None,
            certificate: certificate.to_vec(),
            ca: self.ca.to_vec(),
            keys: self.verifier().keys().iter().map(|key| key.to_vec()).collect(),
            supernodes: self.supernodes.read().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }

    /// Answers a member that asks for a new certificate over its own connection: it stays who it
    /// is.
    #[must_use]
    pub fn renew(&self, request_der: &[u8], peer: &PeerIdentity) -> Joined {
        self.issue(request_der, peer.role, &peer.name, CERTIFICATE_LIFE)
            .unwrap_or_else(|error| refusal(error.to_string()))
    }

    /// A supernode's identity, signed on the spot.
    ///
    /// # Errors
    /// If the name is none.
    pub fn supernode_identity(&self, name: &str) -> Result<Identity, IdentityError> {
        self.identity(Role::Supernode, name, CERTIFICATE_LIFE)
    }

    /// Any member's identity, made and signed on the spot.
    ///
    /// # Errors
    /// If the name is none.
    pub fn identity(
        &self,
        role: Role,
        name: &str,
        lifetime: Duration,
    ) -> Result<Identity, IdentityError> {
        let request = KeyRequest::generate()?;
        let joined = self.issue(request.der(), role, name, lifetime)?;
        Identity::assemble(Parts {
            key: request.into_key(),
            certificate: joined.certificate.into(),
            ca: self.ca.clone(),
            verifier: self.verifier(),
            supernodes: joined.supernodes,
        })
    }
}

/// An answer that gives nothing.
pub(crate) fn refusal(reason: String) -> Joined {
    Joined { refusal: Some(reason), ..Joined::default() }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ca = Digest::of(&self.ca).to_string();
        f.debug_struct("Authority").field("ca", &ca).finish_non_exhaustive()
    }
}
