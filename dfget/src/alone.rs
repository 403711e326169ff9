//! Without a dfdaemon: straight from the server, with the same client that the daemons use.

use registry::{Caller, Credential, Registries, RegistriesConfig, RegistryConfig, Repository};
use url::Url;

use crate::args::Fetch;
use crate::error::Error;
use crate::get::{Answer, Stream};
use crate::part::Part;
use crate::source::Source;

/// Asks for the part of a source that is still missing.
///
/// # Errors
/// What the server says, or why it cannot be asked.
pub async fn open(source: &Source, args: &Fetch, part: &Part) -> Result<Answer, Error> {
    match source {
        Source::Url(url) => self::url(url, args, part).await,
        Source::Blob(repository, digest) => blob(repository, digest, args, part).await,
    }
}

async fn url(url: &Url, args: &Fetch, part: &Part) -> Result<Answer, Error> {
    let mut prefix = url.clone();
    prefix.set_path("/");
    prefix.set_query(None);
    prefix.set_fragment(None);
    let registries = Registries::new(RegistriesConfig {
        registry: Vec::new(),
        url_prefixes: vec![prefix.to_string()],
        ..RegistriesConfig::default()
    })
    .map_err(|error| Error::Usage(error.to_string()))?;
    let start = part.length();
    let mut opened = registries.open_url(url, start.., &args.headers).await;
    if start > 0 {
        let same = |stream: &registry::UrlStream| stream.etag.as_deref() == part.tag();
        // Another content now, or nothing beyond what has come: from the start.
        if !opened.as_ref().is_ok_and(same) {
            opened = registries.open_url(url, 0.., &args.headers).await;
            let stream = opened?;
            return Ok(answer(stream, 0));
        }
    }
    Ok(answer(opened?, start))
}

fn answer(stream: registry::UrlStream, start: u64) -> Answer {
    Answer {
        start,
        total: stream.total,
        tag: stream.etag.clone(),
        stream: Stream::Url(Box::new(stream)),
    }
}

async fn blob(
    repository: &Repository,
    digest: &content::Digest,
    args: &Fetch,
    part: &Part,
) -> Result<Answer, Error> {
    let site = RegistryConfig {
        http: args.plain_http,
        allow_loopback: true,
        allow_private: true,
        ..RegistryConfig::new(repository.registry())
    };
    let registries =
        Registries::new(RegistriesConfig { registry: vec![site], ..RegistriesConfig::default() })
            .map_err(|error| Error::Usage(error.to_string()))?;
    let credential = authorization(args)
        .map(Credential::new)
        .transpose()
        .map_err(|error| Error::Usage(error.to_string()))?;
    let caller = Caller::Client(credential);
    let start = part.length();
    let stream = registries.open_blob(repository, digest, start.., &caller).await?;
    Ok(Answer {
        start,
        total: Some(stream.total),
        tag: Some(digest.to_string()),
        stream: Stream::Blob(Box::new(stream)),
    })
}

/// The `Authorization` that the user gave.
#[must_use]
pub fn authorization(args: &Fetch) -> Option<&str> {
    args.headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.as_str())
}
