//! One image: its layers, then its bootstrap, its config, its manifest.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use content::Digest;
use serde_json::{Map, Value, json};

use super::assemble::{Cut, assemble};
use super::blob::DataBlob;
use super::bootstrap::{self, BootstrapLayer};
use super::error::ConvertError;
use super::layer::{self, Converted, Shared};
use super::progress::Progress;
use crate::oci::{Descriptor, Manifest, annotation, media_type};
use crate::store::{NewBlob, Store};

/// A config is text; this is a hundred times the longest that was seen.
pub(crate) const CONFIG_LIMIT: u64 = 16 << 20;

/// What one conversion works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) source: &'a dyn Store,
    pub(crate) target: &'a dyn Store,
    pub(crate) shared: &'a Shared,
    pub(crate) progress: &'a Progress,
    pub(crate) jobs: usize,
    pub(crate) docker: bool,
}

/// A chunked image, whose blobs are in the target, and whose manifest is not yet.
#[derive(Debug)]
pub(crate) struct Chunked {
    pub(crate) manifest: Manifest,
    pub(crate) root: Digest,
}

impl Work<'_> {
    /// Converts the image of this manifest.
    pub(crate) fn image(&self, manifest: &Manifest) -> Result<Chunked, ConvertError> {
        let config = self.source.whole_blob(&manifest.config, CONFIG_LIMIT)?;
        let layers = self.layers(&manifest.layers)?;
        self.assemble(layers, &config, &manifest.config.digest, &manifest.annotations)
    }

    /// Makes an image of layers whose blobs are in the target.
    pub(crate) fn assemble(
        &self,
        layers: Vec<(Digest, Converted)>,
        config: &[u8],
        digest: &Digest,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Chunked, ConvertError> {
        let parts = layers.into_iter().map(|(digest, converted)| converted.part(digest));
        let assembled = assemble(parts, self.cut(), &self.shared.prefetch)?;
        let blobs = assembled.blobs;
        self.take_over(&blobs)?;
        let boot = bootstrap::layer(assembled.image, &blobs, &self.shared.spool)?;
        self.target.put_blob(&boot.blob)?;
        let config = rewrite_config(config, digest, &blobs, &boot)?;
        let config = self.put_bytes(&config)?;
        let manifest = self.manifest(annotations.clone(), config, &blobs, &boot);
        Ok(Chunked { manifest, root: boot.root })
    }

    /// How the image is cut. Blobs of others may lack what ours have.
    pub(crate) fn cut(&self) -> Cut {
        let dictionary = self.shared.dictionary.as_ref();
        let inlined_digests = dictionary.is_none_or(|dictionary| dictionary.inlined_digests);
        Cut { inlined_digests, ..self.shared.format.into() }
    }

    /// Converts all layers, each distinct one once, and puts their blobs into the target.
    fn layers(&self, layers: &[Descriptor]) -> Result<Vec<(Digest, Converted)>, ConvertError> {
        let mut distinct: Vec<&Descriptor> = Vec::new();
        for layer in layers {
            if !distinct.iter().any(|other| other.digest == layer.digest) {
                distinct.push(layer);
                self.progress.expect(layer.size);
            }
        }
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        let worker = || {
            while let Some(layer) = distinct.get(next.fetch_add(1, Ordering::Relaxed)) {
                let converted = self.layer(layer).inspect_err(|_| self.progress.stop());
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.insert(layer.digest, converted);
                if self.progress.is_stopped() {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs.min(distinct.len()) {
                scope.spawn(worker);
            }
            worker();
        });
        collect(layers, done.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn layer(&self, from: &Descriptor) -> Result<Converted, ConvertError> {
        let cache = self.shared.cache.as_ref();
        if let Some(before) = cache.and_then(|cache| cache.find(from, self.shared)) {
            self.progress.advance(from.size);
            return Ok(before);
        }
        let converted = layer::convert(self.source, from, self.shared, self.progress)?;
        for blob in converted.blobs.iter().filter_map(DataBlob::new_blob) {
            self.target.put_blob(&blob)?;
        }
        if let Some(cache) = cache {
            cache.keep(from, &converted, self);
        }
        Ok(converted)
    }

    /// Which blobs came with the dictionary.
    fn borrowed(&self, blobs: &[DataBlob]) -> Vec<String> {
        let dictionary = self.shared.dictionary.iter().flat_map(|dictionary| &dictionary.blobs);
        let lent: Vec<Digest> = dictionary.map(|blob| blob.digest).collect();
        let borrowed = blobs.iter().filter(|blob| lent.contains(&blob.digest));
        borrowed.map(|blob| blob.digest.to_hex()).collect()
    }

    fn put_bytes(&self, bytes: &[u8]) -> Result<Descriptor, ConvertError> {
        let descriptor = Descriptor::of(
            if self.docker { media_type::DOCKER_CONFIG } else { media_type::OCI_CONFIG },
            bytes,
        );
        self.target.put_blob(&NewBlob::of(bytes).map_err(ConvertError::Spooling)?)?;
        Ok(descriptor)
    }

    fn manifest(
        &self,
        mut annotations: BTreeMap<String, String>,
        config: Descriptor,
        blobs: &[DataBlob],
        boot: &BootstrapLayer,
    ) -> Manifest {
        let (manifest, gzip) = if self.docker {
            (media_type::DOCKER_MANIFEST, media_type::DOCKER_LAYER_GZIP)
        } else {
            (media_type::OCI_MANIFEST, media_type::OCI_LAYER_GZIP)
        };
        let data = blobs.iter().map(|blob| {
            Descriptor::new(media_type::NYDUS_BLOB, blob.digest, blob.length)
                .annotated(annotation::NYDUS_BLOB, "true")
        });
        let mut last = Descriptor::new(gzip, boot.blob.digest, boot.blob.length)
            .annotated(annotation::NYDUS_BOOTSTRAP, "true")
            .annotated(annotation::NYDUS_FS_VERSION, "6")
            .annotated(annotation::UNCOMPRESSED, boot.diff_id.to_string());
        let borrowed = self.borrowed(blobs);
        if !borrowed.is_empty() {
            last = last.annotated(annotation::NYDUS_REFERENCE_BLOBS, json!(borrowed).to_string());
        }
        annotations.insert(annotation::MERKLE_ROOT.to_owned(), boot.root.to_string());
        Manifest {
            schema_version: 2,
            media_type: Some(manifest.to_owned()),
            artifact_type: None,
            config,
            layers: data.chain([last]).collect(),
            subject: None,
            annotations,
            other: Map::new(),
        }
    }
}

/// The layers in their order; the error that came first, not one of those that it caused.
fn collect(
    layers: &[Descriptor],
    mut done: BTreeMap<Digest, Result<Converted, ConvertError>>,
) -> Result<Vec<(Digest, Converted)>, ConvertError> {
    let mut failed: Vec<ConvertError> = Vec::new();
    let mut good = BTreeMap::new();
    for layer in layers {
        match done.remove(&layer.digest) {
            Some(Ok(converted)) => drop(good.insert(layer.digest, converted)),
            Some(Err(error)) => failed.push(error),
            None => {}
        }
    }
    let stopped = |error: &ConvertError| error.to_string().ends_with("something else failed");
    if let Some(place) = failed.iter().position(|error| !stopped(error)) {
        return Err(failed.swap_remove(place));
    }
    let last_use = |at: usize, digest: &Digest| {
        !layers.iter().skip(at.saturating_add(1)).any(|later| later.digest == *digest)
    };
    let mut ordered = Vec::with_capacity(layers.len());
    for (at, layer) in layers.iter().enumerate() {
        let digest = layer.digest;
        let converted =
            if last_use(at, &digest) { good.remove(&digest) } else { good.get(&digest).cloned() };
        ordered.push((digest, converted.ok_or(ConvertError::Thread)?));
    }
    Ok(ordered)
}

/// The config with the layers that there are now. What was its history stays, as steps that made
/// no layer.
fn rewrite_config(
    config: &[u8],
    digest: &Digest,
    blobs: &[DataBlob],
    boot: &BootstrapLayer,
) -> Result<Vec<u8>, ConvertError> {
    let bad = |why: String| ConvertError::Config { digest: *digest, why };
    let mut config: Map<String, Value> =
        serde_json::from_slice(config).map_err(|error| bad(format!("is not JSON: {error}")))?;
    let ids = blobs.iter().map(|blob| blob.digest).chain([boot.diff_id]);
    let ids: Vec<Value> = ids.map(|id| id.to_string().into()).collect();
    let mut history = match config.remove("history") {
        Some(Value::Array(history)) => history,
        _ => Vec::new(),
    };
    for step in history.iter_mut().filter_map(Value::as_object_mut) {
        step.insert("empty_layer".to_owned(), true.into());
    }
    history.extend(blobs.iter().map(|_| json!({"created_by": "image-builder: data blob"})));
    history.push(json!({"created_by": "image-builder: bootstrap"}));
    config.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": ids}));
    config.insert("history".to_owned(), history.into());
    serde_json::to_vec(&config).map_err(|error| bad(error.to_string()))
}
