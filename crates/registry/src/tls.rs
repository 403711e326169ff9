//! What certificates are trusted: the system's authorities, and those of a registry's own.
//!
//! The configuration is built here with its cryptography named, so that no process-wide default
//! has to be set before the first request.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::ConfigError;

/// The system's authorities, read once for all registries.
pub(crate) struct Trust {
    system: RootCertStore,
}

impl Trust {
    /// Reads the system's authorities. Having none is no error: a registry may bring its own, or
    /// be plain HTTP.
    pub(crate) fn from_system() -> Self {
        let loaded = rustls_native_certs::load_native_certs();
        let mut system = RootCertStore::empty();
        let (taken, _) = system.add_parsable_certificates(loaded.certs);
        if taken == 0 {
            tracing::warn!("the system has no certificate authorities");
        }
        Self { system }
    }

    /// TLS that trusts the system's authorities and those in the PEM files `more`.
    pub(crate) fn client(&self, more: &[impl AsRef<Path>]) -> Result<ClientConfig, ConfigError> {
        let mut roots = self.system.clone();
        for path in more {
            add(&mut roots, path.as_ref())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| ConfigError::Client { what: e.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), ConfigError> {
    let failed = |what: String| ConfigError::Ca { path: path.to_owned(), what };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(e.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("no certificate in it".to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|e| failed(e.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.pem");
        std::fs::write(&path, "nothing here").unwrap();
        let trust = Trust::from_system();
        for bad in [path, folder.path().join("missing.pem")] {
            let error = trust.client(&[&bad]).err();
            assert!(matches!(error, Some(ConfigError::Ca { .. })), "{bad:?}");
        }
    }
}
