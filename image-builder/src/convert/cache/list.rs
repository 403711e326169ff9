//! What a cache's manifest lists: records, each followed by its data blobs, the last used first.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use content::Digest;
use serde_json::Map;

use super::super::blob::DataBlob;
use super::super::publish::json;
use super::key::Key;
use crate::oci::{Descriptor, Manifest, annotation, media_type};
use crate::store::{Document, NewBlob};

/// All that the cache has.
#[derive(Debug, Default)]
pub(super) struct List(pub(super) Vec<Entry>);

/// One layer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) record: Descriptor,
    pub(super) blobs: Vec<Descriptor>,
}

impl Entry {
    pub(super) fn new(key: Key, source: Digest, record: &NewBlob, blobs: &[DataBlob]) -> Self {
        let record = Descriptor::new(media_type::OCI_LAYER_GZIP, record.digest, record.length)
            .annotated(annotation::CACHE_KEY, key.to_string())
            .annotated(annotation::NYDUS_SOURCE_DIGEST, source.to_string());
        let blobs = blobs.iter().map(|blob| {
            Descriptor::new(media_type::NYDUS_BLOB, blob.digest, blob.length)
                .annotated(annotation::NYDUS_BLOB, "true")
        });
        Self { key, record, blobs: blobs.collect() }
    }
}

impl List {
    /// What a manifest lists; `None` if it is not that of a cache.
    pub(super) fn read(document: &Document) -> Option<Self> {
        let manifest = document.manifest()?;
        if manifest.artifact_type.as_deref() != Some(media_type::BUILD_CACHE) {
            return None;
        }
        let mut entries: Vec<Entry> = Vec::new();
        for layer in &manifest.layers {
            let key = layer.annotations.get(annotation::CACHE_KEY);
            if let Some(key) = key.and_then(|key| Key::parse(key)) {
                entries.push(Entry { key, record: layer.clone(), blobs: Vec::new() });
            } else if let Some(entry) = entries.last_mut() {
                entry.blobs.push(layer.clone());
            }
        }
        Some(Self(entries))
    }

    /// The list with what was made, what was used before the rest, and no more than `records`.
    pub(super) fn with(self, made: Vec<Entry>, used: &[Key], records: usize) -> Self {
        let (before, rest): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|entry| used.contains(&entry.key));
        let mut seen = BTreeSet::new();
        let all = made.into_iter().chain(before).chain(rest);
        Self(all.filter(|entry| seen.insert(entry.key)).take(records).collect())
    }

    /// The config, the manifest's media type, and the manifest.
    pub(super) fn manifest(&self) -> (io::Result<NewBlob>, &'static str, Bytes) {
        let layers =
            self.0.iter().flat_map(|entry| [&entry.record].into_iter().chain(&entry.blobs));
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: Some(media_type::BUILD_CACHE.to_owned()),
            config: Descriptor::of(media_type::OCI_EMPTY, NOTHING),
            layers: layers.cloned().collect(),
            subject: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        };
        (NewBlob::of(NOTHING), media_type::OCI_MANIFEST, json(&manifest).into())
    }
}

const NOTHING: &[u8] = b"{}";
