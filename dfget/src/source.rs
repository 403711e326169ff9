//! What is to be fetched.

use content::Digest;
use registry::{Reference, Repository};
use url::Url;

use crate::error::Error;

/// A file somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A URL.
    Url(Url),
    /// A blob of a registry.
    Blob(Repository, Digest),
}

impl Source {
    /// Reads what the user gave.
    ///
    /// # Errors
    /// If it is neither a URL nor a blob.
    pub fn read(text: &str) -> Result<Self, Error> {
        let usage = |what: &str| Error::Usage(format!("{text}: {what}"));
        if let Some(rest) = text.strip_prefix("oci://") {
            let form = "an oci:// URL is oci://REGISTRY/REPOSITORY@sha256:…";
            let (place, digest) = rest.split_once('@').ok_or_else(|| usage(form))?;
            let (registry, name) = place.split_once('/').ok_or_else(|| usage(form))?;
            let repository =
                Repository::new(registry, name).map_err(|error| usage(&error.to_string()))?;
            return match Reference::parse(digest) {
                Ok(Reference::Digest(digest)) => Ok(Self::Blob(repository, digest)),
                _ => Err(usage(form)),
            };
        }
        let url = Url::parse(text).map_err(|error| usage(&error.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Url(url)),
            _ => Err(usage("only http, https and oci URLs can be fetched")),
        }
    }

    /// The digest that its name says.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        match self {
            Self::Url(_) => None,
            Self::Blob(_, digest) => Some(*digest),
        }
    }

    /// Its place, without anything secret: no user, no query.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Url(url) => {
                let host = url.host_str().unwrap_or_default();
                format!("{}://{host}{}", url.scheme(), url.path())
            }
            Self::Blob(repository, digest) => format!("{repository}@{digest}"),
        }
    }
}

/// Whether a header is a credential: what was got with it is not shared.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization", "x-api-key"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
        || name.to_ascii_lowercase().contains("token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_blobs_are_told_apart() {
        assert!(matches!(Source::read("https://a.example/x"), Ok(Source::Url(_))));
        let digest = Digest::of(b"x");
        let blob = Source::read(&format!("oci://r.example:5000/a/b@{digest}"));
        assert!(matches!(blob, Ok(Source::Blob(_, found)) if found == digest));
        for bad in
            ["", "x", "ftp://a/b", "oci://a", "oci://a/b", "oci://a/b@v1", "oci://a/B@sha256:0"]
        {
            assert!(matches!(Source::read(bad), Err(Error::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let source =
            Source::read("https://user:pass@a.example/x?X-Amz-Signature=s").expect("a URL");
        assert_eq!(source.shown(), "https://a.example/x");
    }
}
