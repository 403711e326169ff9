//! What a command line says of where an image is.
//!
//! Transports are named as skopeo names them. What has no transport is a path if there is
//! something at it, otherwise a registry reference, completed as docker completes it
//! (`alpine` is `docker.io/library/alpine:latest`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use registry::{NameError, Reference, Repository};

/// Where an image is, or is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a registry.
    Registry {
        /// Its repository.
        repository: Repository,
        /// Its tag or digest.
        reference: Reference,
    },
    /// In an OCI layout folder.
    Layout {
        /// The folder.
        folder: PathBuf,
        /// Its name in the folder's index; `None` for the only image there is.
        tag: Option<String>,
    },
    /// In an archive.
    Archive {
        /// Which kind; an archive that is read says itself what it is.
        kind: ArchiveKind,
        /// The file.
        file: PathBuf,
        /// Its name in the archive; `None` for the only image there is.
        tag: Option<String>,
    },
}

/// Which kind of archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArchiveKind {
    /// The tar of an OCI layout.
    Oci,
    /// What `docker save` writes.
    Docker,
}

/// Why a text says no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It begins like a transport, and no path follows.
    #[error("`{0}` names no file or folder: write `{0}PATH` or `{0}PATH:TAG`")]
    NoPath(&'static str),
    /// There is something at that path, and it is no image.
    #[error("`{0}` is there, but is no image: neither OCI layout nor archive nor bootstrap")]
    NoImage(String),
    /// It is no reference.
    #[error(
        "`{text}` is neither a path that exists nor an image in a registry ({why}); \
         write HOST/REPOSITORY:TAG, oci:FOLDER:TAG, oci-archive:FILE or docker-archive:FILE"
    )]
    Reference {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: NameError,
    },
}

impl Place {
    /// Where files are to be made that a place can take over without copying them: `None` if it
    /// cannot.
    #[must_use]
    pub fn beside(&self) -> Option<&Path> {
        match self {
            Self::Layout { folder, .. } => Some(folder),
            Self::Registry { .. } | Self::Archive { .. } => None,
        }
    }

    /// The image's tag or name there, if the place says one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry { reference: Reference::Tag(tag), .. } => Some(tag.as_ref()),
            Self::Registry { .. } => None,
            Self::Layout { tag, .. } | Self::Archive { tag, .. } => tag.as_deref(),
        }
    }

    /// The same place with another tag.
    ///
    /// # Errors
    /// If it can be no tag of a registry.
    pub fn with_tag(&self, tag: &str) -> Result<Self, PlaceError> {
        let named = Some(tag.to_owned());
        Ok(match self {
            Self::Registry { repository, .. } => {
                let parsed = Reference::parse(tag);
                let bad = |why| PlaceError::Reference { text: tag.to_owned(), why };
                Self::Registry { repository: repository.clone(), reference: parsed.map_err(bad)? }
            }
            Self::Layout { folder, .. } => Self::Layout { folder: folder.clone(), tag: named },
            Self::Archive { kind, file, .. } => {
                Self::Archive { kind: *kind, file: file.clone(), tag: named }
            }
        })
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let file = |prefix, rest| path_and_tag(prefix, rest);
        if let Some(rest) = text.strip_prefix("oci:") {
            let (folder, tag) = file("oci:", rest)?;
            return Ok(Self::Layout { folder, tag });
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (file, tag) = file("oci-archive:", rest)?;
            return Ok(Self::Archive { kind: ArchiveKind::Oci, file, tag });
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (file, tag) = file("docker-archive:", rest)?;
            return Ok(Self::Archive { kind: ArchiveKind::Docker, file, tag });
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            return reference(rest);
        }
        let path = text.starts_with(['/', '.']) && Path::new(text).exists();
        let other =
            || if path { Err(PlaceError::NoImage(text.to_owned())) } else { reference(text) };
        existing(text).map_or_else(other, Ok)
    }
}

fn path_and_tag(prefix: &'static str, rest: &str) -> Result<(PathBuf, Option<String>), PlaceError> {
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag.to_owned()).filter(|tag| !tag.is_empty())),
        None => (rest, None),
    };
    if path.is_empty() { Err(PlaceError::NoPath(prefix)) } else { Ok((path.into(), tag)) }
}

/// What there is at a bare path, or at one with a tag behind it.
fn existing(text: &str) -> Option<Place> {
    let at = |path: &str, tag: Option<&str>| {
        let (path, tag) = (Path::new(path), tag.map(str::to_owned));
        if path.join("index.json").is_file() {
            return Some(Place::Layout { folder: path.to_owned(), tag });
        }
        let kind = ArchiveKind::Oci;
        path.is_file().then(|| Place::Archive { kind, file: path.to_owned(), tag })
    };
    at(text, None).or_else(|| {
        let (path, tag) = text.split_once(':')?;
        at(path, Some(tag))
    })
}

/// A registry reference: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`. The first part is a host if it has a
/// dot or a colon, or is `localhost`.
fn reference(text: &str) -> Result<Place, PlaceError> {
    let bad = |why| PlaceError::Reference { text: text.to_owned(), why };
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (text, None),
    };
    let (host, rest) = match named.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", named),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) => (name, tag),
        None => (rest, "latest"),
    };
    let library = host == "docker.io" && !name.contains('/');
    let name = if library { format!("library/{name}") } else { name.to_owned() };
    let repository = Repository::new(host, &name).map_err(bad)?;
    let reference = Reference::parse(digest.unwrap_or(tag)).map_err(bad)?;
    Ok(Place::Registry { repository, reference })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, path, tag) = match self {
            Self::Registry { repository, reference: Reference::Tag(tag) } => {
                return write!(f, "{repository}:{tag}");
            }
            Self::Registry { repository, reference: Reference::Digest(digest) } => {
                return write!(f, "{repository}@{digest}");
            }
            Self::Layout { folder, tag } => ("oci:", folder, tag),
            Self::Archive { kind: ArchiveKind::Oci, file, tag } => ("oci-archive:", file, tag),
            Self::Archive { kind: ArchiveKind::Docker, file, tag } => {
                ("docker-archive:", file, tag)
            }
        };
        write!(f, "{prefix}{}", path.display())?;
        tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Place>().map_or_else(|error| error.to_string(), |place| place.to_string())
    }

    #[test]
    fn references_are_completed_as_docker_completes_them() {
        assert_eq!(shown("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(shown("a/b:v1"), "docker.io/a/b:v1");
        assert_eq!(shown("localhost/b"), "localhost/b:latest");
        assert_eq!(shown("127.0.0.1:5000/a/b:v1"), "127.0.0.1:5000/a/b:v1");
        assert_eq!(shown("docker://r.example/a:v1"), "r.example/a:v1");
        let digest = content::Digest::of(b"x");
        assert_eq!(shown(&format!("r.example/a:v1@{digest}")), format!("r.example/a@{digest}"));
    }

    #[test]
    fn transports_are_named_as_skopeo_names_them() {
        for text in ["oci:/a/b:v1", "oci:dir", "oci-archive:/x.tar", "docker-archive:x.tar:a:b"] {
            assert_eq!(shown(text), text);
        }
        assert_eq!("oci:".parse::<Place>(), Err(PlaceError::NoPath("oci:")));
    }

    #[test]
    fn a_path_that_exists_is_taken_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert!(shown(path).contains("is there, but is no image"), "an empty folder");
        std::fs::write(folder.path().join("index.json"), "{}").unwrap();
        assert_eq!(shown(path), format!("oci:{path}"));
        assert_eq!(shown(&format!("{path}:v1")), format!("oci:{path}:v1"));
        let file = format!("{path}/index.json");
        assert_eq!(shown(&file), format!("oci-archive:{file}"));
    }
}
