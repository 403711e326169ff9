//! The client: every admitted upstream, with its connections and tokens.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::auth::Tokens;
use crate::call::Call;
use crate::config::RegistriesConfig;
use crate::credential::{Caller, Credential};
use crate::error::{ConfigError, Error};
use crate::names::Repository;
use crate::sites::Sites;

/// The registries and URLs that the configuration admits. Cheap to clone; all clones share
/// connections and tokens.
#[derive(Clone)]
pub struct Registries {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: RegistriesConfig,
    pub(crate) sites: Sites,
    pub(crate) tokens: Tokens,
}

impl Registries {
    /// Checks `config`, and reads the certificate authorities and the proxies that it and the
    /// environment name. Contacts nobody.
    ///
    /// # Errors
    /// What in the configuration cannot be used.
    pub fn new(config: RegistriesConfig) -> Result<Self, ConfigError> {
        let sites = Sites::new(&config)?;
        if let Some(host) = config.default.as_ref().filter(|host| !sites.admits(host)) {
            let host = host.clone();
            return Err(ConfigError::Default { host });
        }
        let inner = Inner { sites, config, tokens: Tokens::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether `registry`, as written in references, may be contacted.
    #[must_use]
    pub fn admits(&self, registry: &str) -> bool {
        self.inner.sites.admits(registry)
    }

    /// Where a request goes that names no registry.
    #[must_use]
    pub fn default_registry(&self) -> Option<&str> {
        self.inner.config.default.as_deref()
    }

    /// Whether a URL prefix in the configuration admits `url`.
    #[must_use]
    pub fn admits_url(&self, url: &Url) -> bool {
        self.inner.sites.admits_url(url)
    }

    /// What we ourselves show the registry for a repository, for somebody who asks it on our behalf:
    /// what met its last challenge, renewed if it is about to expire. None if the registry has not
    /// challenged us yet, or we have no credentials for it.
    ///
    /// # Errors
    /// If the registry is not admitted, or what expires cannot be renewed.
    pub async fn own_authorization(
        &self,
        repository: &Repository,
    ) -> Result<Option<Credential>, Error> {
        self.call(repository, &Caller::Own)?.held().await
    }

    pub(crate) fn call<'a>(
        &'a self,
        repository: &'a Repository,
        caller: &'a Caller,
    ) -> Result<Call<'a>, Error> {
        Call::new(&self.inner, repository, caller)
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.inner.config.registry.iter().map(|r| &r.host);
        f.debug_struct("Registries")
            .field("admitted", &hosts.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManifestMethod, ManifestRequest, Reference, Span};

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn every_future_can_be_spawned() {
        let registries = Registries::new(RegistriesConfig::default()).unwrap();
        let repository = Repository::new("docker.io", "library/a").unwrap();
        let (digest, caller) = (content::Digest::of(b""), Caller::Own);
        let reference = Reference::Digest(digest);
        let request = ManifestRequest {
            method: ManifestMethod::Get,
            accept: Vec::new(),
            if_none_match: None,
        };
        is_send(&registries.manifest(&repository, &reference, &request, &caller));
        is_send(&registries.blob_head(&repository, &digest, &caller));
        is_send(&async {
            let mut stream = registries.open_blob(&repository, &digest, Span::ALL, &caller).await?;
            stream.next().await.transpose()
        });
        let url = Url::parse("https://a.example/").unwrap();
        is_send(&async {
            let mut stream = registries.open_url(&url, 5.., &[]).await?;
            stream.next().await.transpose()
        });
    }
}
