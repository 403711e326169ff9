//! What lists blobs, and what lists that.

use std::collections::BTreeMap;

use content::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::media::{annotation, media_type};
use super::platform::Platform;

/// What says which blob is meant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on; in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Whatever else there is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// The descriptor of a blob of which no more is said.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
            other: Map::new(),
        }
    }

    /// The descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The same with one more annotation.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// Whether it is annotated with `key` and `true`.
    #[must_use]
    pub fn is_marked(&self, key: &str) -> bool {
        self.annotations.get(key).is_some_and(|value| value == "true")
    }

    /// Whether it is the bootstrap layer of a chunked image.
    #[must_use]
    pub fn is_bootstrap(&self) -> bool {
        self.is_marked(annotation::NYDUS_BOOTSTRAP)
    }

    /// Whether it is a data blob of a chunked image.
    #[must_use]
    pub fn is_data_blob(&self) -> bool {
        self.media_type == media_type::NYDUS_BLOB || self.is_marked(annotation::NYDUS_BLOB)
    }

    /// Whether it is an index, as far as the media type says.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(&*self.media_type, media_type::OCI_INDEX | media_type::DOCKER_INDEX)
    }
}

/// An image: its config and its layers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// OCI's or Docker's; OCI allows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// How it is run.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whatever else there is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Manifest {
    /// The bootstrap layer, if it is a chunked image.
    #[must_use]
    pub fn bootstrap(&self) -> Option<&Descriptor> {
        self.layers.iter().rev().find(|layer| layer.is_bootstrap())
    }
}

/// A list of images.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// OCI's or Docker's; OCI allows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images, each usually for another platform.
    pub manifests: Vec<Descriptor>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whatever else there is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Index {
    /// An OCI index of these.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            manifests,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }
}

/// What a reference leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Top {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

/// Why bytes are neither manifest nor index.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// They are no JSON of that form.
    #[error("it is neither an image manifest nor an index: {0}")]
    Json(#[from] serde_json::Error),
    /// An image of before 2016.
    #[error("it is a Docker manifest of schema 1; push the image again with a newer client")]
    Schema1,
}

impl Top {
    /// Reads either. What the bytes say counts, not what a registry calls them.
    ///
    /// # Errors
    /// If they are neither.
    pub fn parse(bytes: &[u8]) -> Result<Self, TopError> {
        let value: Value = serde_json::from_slice(bytes)?;
        if value.get("schemaVersion") == Some(&Value::from(1)) {
            return Err(TopError::Schema1);
        }
        if value.get("manifests").is_some() && value.get("layers").is_none() {
            return Ok(Self::Index(serde_json::from_value(value)?));
        }
        Ok(Self::Manifest(serde_json::from_value(value)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_kept() {
        let blob = json!({
            "mediaType": "x", "digest": Digest::of(b"a"), "size": 1, "urls": ["u"], "data": "YQ==",
        });
        let manifest = json!({
            "schemaVersion": 2, "config": blob, "layers": [blob], "new": {"a": [1, null]},
        });
        let Ok(Top::Manifest(read)) = Top::parse(manifest.to_string().as_bytes()) else {
            panic!("a manifest")
        };
        assert_eq!(serde_json::to_value(&read).unwrap(), manifest);
        let platform = json!({"architecture": "arm", "os": "linux", "os.version": "1"});
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{"mediaType": "x", "digest": Digest::of(b"a"), "size": 1, "platform": platform}],
        });
        let Ok(Top::Index(read)) = Top::parse(index.to_string().as_bytes()) else {
            panic!("an index")
        };
        assert_eq!(serde_json::to_value(&read).unwrap(), index);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for bad in ["", "{}", "[]", r#"{"schemaVersion":2,"layers":[]}"#, "null"] {
            assert!(Top::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let old = Top::parse(br#"{"schemaVersion":1,"fsLayers":[]}"#);
        assert!(matches!(old, Err(TopError::Schema1)));
    }
}
