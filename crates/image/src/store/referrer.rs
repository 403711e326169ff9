//! Manifests that refer to others, for registries that do not list them themselves.
//!
//! Such a registry has, for each manifest that is referred to, an index under a tag that is made of
//! its digest; whoever puts a referrer adds it there (OCI distribution-spec, "Referrers Tag
//! Schema"). Two that do so at once may lose one, which the specification knows.

use bytes::Bytes;
use content::Digest;

use super::Document;
use crate::oci::{Descriptor, Index, Top};

/// A manifest that refers to another one.
#[derive(Clone, Debug)]
pub(super) struct Referrer {
    subject: Digest,
    entry: Descriptor,
}

impl Referrer {
    /// The manifest that these bytes are, if it refers to one.
    pub(super) fn of(kind: &str, bytes: &Bytes) -> Option<Self> {
        let Ok(Top::Manifest(manifest)) = Top::parse(bytes) else { return None };
        let mut entry = Descriptor::of(kind, bytes);
        entry.artifact_type = manifest.artifact_type.or(Some(manifest.config.media_type));
        entry.annotations = manifest.annotations;
        Some(Self { subject: manifest.subject?.digest, entry })
    }

    /// The tag of the index that lists it.
    pub(super) fn tag(&self) -> String {
        self.subject.to_string().replace(':', "-")
    }

    /// The index with the manifest in it; `None` if it lists it already.
    pub(super) fn listed(&self, there: Option<&Document>) -> Option<Bytes> {
        let mut index = match there.map(|document| &document.top) {
            Some(Top::Index(index)) => index.clone(),
            _ => Index::new(Vec::new()),
        };
        if index.manifests.iter().any(|entry| entry.digest == self.entry.digest) {
            return None;
        }
        index.manifests.push(self.entry.clone());
        serde_json::to_vec(&index).ok().map(Bytes::from)
    }
}
