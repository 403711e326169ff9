//! Certificates as bytes: the cluster's own, and those that it signs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::IdentityError;
use crate::role::PeerIdentity;

/// Clocks in a cluster differ by so much at most.
pub(crate) const SKEW: Duration = Duration::from_secs(10 * 60);

/// A cluster outlives its machines; its root is changed by hand.
const ROOT_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

pub(crate) fn failed(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Certificate(error.to_string())
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| failed("the system gives no random numbers"))?;
    Ok(bytes)
}

/// The same as text.
pub(crate) fn random_hex<const N: usize>() -> Result<String, IdentityError> {
    random::<N>().map(hex::encode)
}

/// What both kinds of certificate have: a serial number that is never used twice, and a life that
/// began a little earlier for those whose clocks are late.
fn params(common_name: &str, life: Duration) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
    let mut serial = random::<16>()?;
    // Serial numbers are positive (RFC 5280, section 4.1.2.2).
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    Ok(params)
}

/// The cluster's own certificate.
pub(crate) fn root(key: &KeyPair) -> Result<CertificateDer<'static>, IdentityError> {
    let name = format!("Meganeura cluster {}", random_hex::<4>()?);
    let mut params = params(&name, ROOT_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params.self_signed(key).map_err(failed)?.into())
}

/// A member's certificate.
pub(crate) fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    key: &impl PublicKeyData,
    peer: &PeerIdentity,
    life: Duration,
) -> Result<CertificateDer<'static>, IdentityError> {
    let mut params = params(&peer.name, life)?;
    let role = peer.role.server_name().try_into().map_err(failed)?;
    let uri = peer.uri().try_into().map_err(failed)?;
    params.subject_alt_names = vec![SanType::DnsName(role), SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, issuer).map_err(failed)?.into())
}

/// From when until when a certificate is good.
pub(crate) fn validity(
    certificate: &CertificateDer<'_>,
) -> Result<(SystemTime, SystemTime), IdentityError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| failed("the certificate cannot be read"))?;
    let time = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    let validity = parsed.validity();
    Ok((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

/// Whether the certificate may sign others, and `key` is its key.
pub(crate) fn is_root_of(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    parsed.is_ca() && parsed.public_key().subject_public_key.data == key.public_key_raw()
}
