//! What can be asked for: a repository within a registry, and a tag or digest in it.

use std::fmt;
use std::str::FromStr;

use content::{Digest, name};

/// Why a text names nothing that could be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The registry is no host with an optional port.
    #[error("the registry is not a host with an optional port")]
    Registry,
    /// The repository's name is not what the distribution specification allows.
    #[error("the repository's name is not lower-case path components")]
    Repository,
    /// The reference is neither a tag nor a SHA-256 digest.
    #[error("the reference is neither a tag nor a sha256 digest")]
    Reference,
}

/// A repository within a registry. Both names have been checked, so that they can stand in a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    name: String,
}

impl Repository {
    /// The repository `name` of `registry`, the registry as written in references (`docker.io`).
    ///
    /// # Errors
    /// Either text is not such a name.
    pub fn new(registry: &str, name: &str) -> Result<Self, NameError> {
        if !name::is_registry_host(registry) {
            return Err(NameError::Registry);
        }
        if !name::is_repository(name) {
            return Err(NameError::Repository);
        }
        Ok(Self {
            // Hosts have no case; one spelling makes one key.
            registry: registry.to_ascii_lowercase(),
            name: name.to_owned(),
        })
    }

    /// The registry as written in references, in lower case.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that the registry may move.
    Tag(String),
    /// The manifest's own digest.
    Digest(Digest),
}

impl Reference {
    /// The reference that `text` is: a digest if it has a colon, else a tag.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            return text.parse().map(Self::Digest).map_err(|_| NameError::Reference);
        }
        if name::is_tag(text) { Ok(Self::Tag(text.to_owned())) } else { Err(NameError::Reference) }
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_one_key_however_its_host_is_spelt() {
        let a = Repository::new("Docker.IO", "library/nginx").unwrap();
        assert_eq!(a, Repository::new("docker.io", "library/nginx").unwrap());
        assert_eq!(a.to_string(), "docker.io/library/nginx");
        assert_eq!(Repository::new("a/b", "c"), Err(NameError::Registry));
        assert_eq!(Repository::new("a", "../c"), Err(NameError::Repository));
    }

    #[test]
    fn a_reference_is_a_tag_or_a_digest() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(Reference::Digest(digest)), "digest");
        assert_eq!("v1.0".parse(), Ok(Reference::Tag("v1.0".into())));
        for bad in ["", "a/b", "sha256:00", "sha512:aa", ".."] {
            assert_eq!(Reference::parse(bad), Err(NameError::Reference), "{bad}");
        }
    }
}
