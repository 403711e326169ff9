//! All images that a source has, and what is published of them under the target's name.

use bytes::Bytes;
use content::Digest;
use serde::Serialize;

use super::budget::Budget;
use super::error::ConvertError;
use super::image::{CONFIG_LIMIT, Chunked, Work};
use super::layer::Shared;
use super::options::{Options, Publish};
use super::progress::Progress;
use super::spool::SpoolFolder;
use crate::oci::{Descriptor, Index, Manifest, Platform, Top, media_type};
use crate::store::{Document, Store, StoreError};

/// So many bytes of chunks may be on their way between threads.
const BUDGET: usize = 32 << 20;

/// What was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// What the target's name leads to.
    pub target: Descriptor,
    /// The chunked images.
    pub images: Vec<Made>,
    /// How many of their layers had been converted before.
    pub cached_layers: usize,
    /// What did not work and changes nothing about the images.
    pub warnings: Vec<String>,
}

/// One chunked image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Made {
    /// Its manifest's digest.
    pub digest: Digest,
    /// What it runs on, if its source says so.
    pub platform: Option<String>,
    /// The merkle root of its tree.
    pub merkle_root: Digest,
    /// Bytes of its data blobs and its bootstrap's layer.
    pub size: u64,
    /// Bytes of the layers that it was made of.
    pub source_size: u64,
}

/// Converts the image, or all images, at `source`.
///
/// # Errors
/// If the image cannot be read or is refused, or the target does not take it.
pub fn convert(
    source: &dyn Store,
    target: &dyn Store,
    options: &Options,
    progress: &Progress,
) -> Result<Report, ConvertError> {
    let shared = shared(options);
    let (jobs, docker) = (options.jobs.max(1), options.docker);
    let work = Work { source, target, shared: &shared, progress, jobs, docker };
    let top = source.top()?;
    let publishing = Publishing { work, options };
    match &top.top {
        Top::Manifest(manifest) => publishing.one(&top, manifest),
        Top::Index(index) => publishing.many(index),
    }
}

/// What all layers share.
pub(super) fn shared(options: &Options) -> Shared {
    Shared {
        format: options.format,
        reading: options.reading,
        budget: Budget::new(BUDGET),
        spool: SpoolFolder::new(options.work_dir.as_deref()),
        prefetch: options.prefetch.clone(),
        dictionary: options.dictionary.clone(),
        cache: options.cache.clone(),
    }
}

struct Publishing<'a> {
    work: Work<'a>,
    options: &'a Options,
}

/// An ordinary image and the chunked one of it.
struct Pair {
    ordinary: Descriptor,
    chunked: Document,
}

impl Publishing<'_> {
    fn one(&self, top: &Document, manifest: &Manifest) -> Result<Report, ConvertError> {
        let mut ordinary = top.descriptor.clone();
        ordinary.platform = self.platform_of(manifest)?;
        if let Some(asked) = self.unmet(std::slice::from_ref(&ordinary)) {
            let there = platforms(std::slice::from_ref(&ordinary));
            return Err(ConvertError::NoPlatform { asked, there });
        }
        let (pair, made) = self.image(&ordinary, top, manifest)?;
        let (kind, bytes) = match self.options.publish {
            Publish::Index => index_of(&[pair], true, self.options.docker),
            _ => (pair.chunked.descriptor.media_type.clone(), pair.chunked.bytes),
        };
        self.finish(&kind, &bytes, vec![made])
    }

    fn many(&self, index: &Index) -> Result<Report, ConvertError> {
        let images: Vec<Descriptor> =
            index.manifests.iter().filter(|it| is_image(it)).cloned().collect();
        if let Some(asked) = self.unmet(&images) {
            return Err(ConvertError::NoPlatform { asked, there: platforms(&images) });
        }
        let mut pairs = Vec::new();
        let mut all = Vec::new();
        for ordinary in images.iter().filter(|image| self.is_wanted(image)) {
            let document = self.work.source.document(&ordinary.digest)?;
            let Some(manifest) = document.manifest() else {
                return Err(ConvertError::Nested(ordinary.digest));
            };
            let (pair, made) = self.image(ordinary, &document, manifest)?;
            pairs.push(pair);
            all.push(made);
        }
        let with_ordinary = self.options.publish == Publish::Index;
        let (kind, bytes) = index_of(&pairs, with_ordinary, self.options.docker);
        self.finish(&kind, &bytes, all)
    }

    fn finish(&self, kind: &str, bytes: &Bytes, images: Vec<Made>) -> Result<Report, ConvertError> {
        self.work.target.put_top(kind, bytes)?;
        let target = Descriptor::of(kind, bytes);
        let Some(cache) = &self.options.cache else {
            return Ok(Report { target, images, cached_layers: 0, warnings: Vec::new() });
        };
        cache.finish();
        let (cached_layers, warnings) = (cache.hits(), cache.warnings());
        Ok(Report { target, images, cached_layers, warnings })
    }

    /// Converts one image, and puts it into the target without a name.
    fn image(
        &self,
        ordinary: &Descriptor,
        document: &Document,
        manifest: &Manifest,
    ) -> Result<(Pair, Made), ConvertError> {
        if manifest.bootstrap().is_some() {
            return Err(ConvertError::Already(self.work.source.place().to_string()));
        }
        let Chunked { manifest: mut made, root } = self.work.image(manifest)?;
        if self.options.publish != Publish::Alone {
            self.work.copy_blobs(manifest)?;
            let kind = &document.descriptor.media_type;
            self.work.target.put_document(kind, &document.bytes)?;
        }
        if self.options.publish == Publish::Referrer {
            made.subject = Some(Descriptor {
                media_type: document.descriptor.media_type.clone(),
                platform: None,
                ..document.descriptor.clone()
            });
        }
        let chunked = self.put(&made)?;
        let sum = |layers: &[Descriptor]| layers.iter().map(|layer| layer.size).sum();
        let made = Made {
            digest: chunked.descriptor.digest,
            platform: ordinary.platform.as_ref().map(Platform::to_string),
            merkle_root: root,
            size: sum(&made.layers),
            source_size: sum(&manifest.layers),
        };
        let mut chunked = chunked;
        chunked.descriptor.platform.clone_from(&ordinary.platform);
        Ok((Pair { ordinary: ordinary.clone(), chunked }, made))
    }

    fn put(&self, manifest: &Manifest) -> Result<Document, ConvertError> {
        let bytes = Bytes::from(json(manifest));
        let document = Document::new(bytes, None).map_err(|error| {
            let what = self.work.target.place().to_string();
            StoreError::Document { what, error }
        })?;
        self.work.target.put_document(&document.descriptor.media_type, &document.bytes)?;
        Ok(document)
    }

    /// What the config says that the image runs on.
    fn platform_of(&self, manifest: &Manifest) -> Result<Option<Platform>, ConvertError> {
        let config = self.work.source.whole_blob(&manifest.config, CONFIG_LIMIT)?;
        let value: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        let text = |key: &str| value.get(key).and_then(|text| text.as_str()).map(str::to_owned);
        let (Some(architecture), Some(os)) = (text("architecture"), text("os")) else {
            return Ok(None);
        };
        let other = serde_json::Map::new();
        Ok(Some(Platform { architecture, os, variant: text("variant"), other }))
    }

    fn is_wanted(&self, image: &Descriptor) -> bool {
        let asked = &self.options.platforms;
        asked.is_empty()
            || image.platform.as_ref().is_some_and(|has| asked.iter().any(|asked| has.is(asked)))
    }

    /// A platform that was asked for and is not there.
    fn unmet(&self, images: &[Descriptor]) -> Option<String> {
        let there = |asked: &Platform| {
            images.iter().filter_map(|image| image.platform.as_ref()).any(|has| has.is(asked))
        };
        self.options.platforms.iter().find(|asked| !there(asked)).map(Platform::to_string)
    }
}

fn platforms(images: &[Descriptor]) -> String {
    let all = images.iter().filter_map(|image| image.platform.as_ref());
    all.map(Platform::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether an index's entry is an ordinary image: not what says how one was built (`unknown` is
/// what buildkit calls its platform), and not a chunked one.
fn is_image(entry: &Descriptor) -> bool {
    let unknown = entry.platform.as_ref().is_some_and(|it| it.os == "unknown");
    !unknown && entry.artifact_type.as_deref() != Some(media_type::NYDUS_MANIFEST)
}

/// The index of what was made, each beside what it was made of.
fn index_of(pairs: &[Pair], with_ordinary: bool, docker: bool) -> (String, Bytes) {
    let mut listed = Vec::new();
    if with_ordinary {
        listed.extend(pairs.iter().map(|pair| pair.ordinary.clone()));
    }
    // Others first: who does not know chunked images takes the first for its platform.
    listed.extend(pairs.iter().map(|pair| {
        let mut chunked = pair.chunked.descriptor.clone();
        chunked.artifact_type = with_ordinary.then(|| media_type::NYDUS_MANIFEST.to_owned());
        chunked
    }));
    let mut index = Index::new(listed);
    if docker {
        index.media_type = Some(media_type::DOCKER_INDEX.to_owned());
    }
    let kind = index.media_type.clone().unwrap_or_default();
    (kind, Bytes::from(json(&index)))
}

/// As JSON; strings and numbers always can be.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
