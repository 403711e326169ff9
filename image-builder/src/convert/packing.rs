//! An image of one layer that comes from elsewhere than an image.

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use content::Digest;

use super::blob::DataBlob;
use super::error::ConvertError;
use super::image::Work;
use super::layer::{self, Converted, Shared};
use super::options::Options;
use super::progress::{Progress, Watched};
use super::publish::{Made, Report, json, shared};
use crate::oci::{Descriptor, Platform};
use crate::store::Store;

/// Makes an image of one layer.
pub(crate) struct Packing<'a> {
    target: &'a dyn Store,
    shared: Shared,
    progress: &'a Progress,
    docker: bool,
}

impl<'a> Packing<'a> {
    pub(crate) fn new(target: &'a dyn Store, options: &Options, progress: &'a Progress) -> Self {
        Self { target, shared: shared(options), progress, docker: options.docker }
    }

    /// Takes the layer whose tar `input` reads; `name` is what errors call it.
    pub(crate) fn layer(
        &self,
        input: impl Read,
        name: Digest,
    ) -> Result<(Digest, Converted, u64), ConvertError> {
        let mut input = Watched { inner: input, progress: self.progress };
        let converted = layer::convert_stream(&mut input, name, &self.shared)?;
        for blob in converted.blobs.iter().filter_map(DataBlob::new_blob) {
            self.target.put_blob(&blob)?;
        }
        Ok((name, converted, self.progress.read()))
    }

    /// Makes the image of it.
    pub(crate) fn finish(
        &self,
        (name, converted, source_size): (Digest, Converted, u64),
        config: &str,
        annotations: &BTreeMap<String, String>,
        platform: &Platform,
    ) -> Result<Report, ConvertError> {
        let work = Work {
            source: self.target,
            target: self.target,
            shared: &self.shared,
            progress: self.progress,
            jobs: 1,
            docker: self.docker,
        };
        let layers = vec![(name, converted)];
        let made = work.assemble(layers, config.as_bytes(), &name, annotations)?;
        let kind = made.manifest.media_type.clone().unwrap_or_default();
        let bytes = Bytes::from(json(&made.manifest));
        self.target.put_top(&kind, &bytes)?;
        let target = Descriptor::of(&kind, &bytes);
        let image = Made {
            digest: target.digest,
            platform: Some(platform.to_string()),
            merkle_root: made.root,
            size: made.manifest.layers.iter().map(|layer| layer.size).sum(),
            source_size,
        };
        Ok(Report { target, images: vec![image], cached_layers: 0, warnings: Vec::new() })
    }
}
