//! Layouts of several images, in the words of OCI or of Docker.

use std::fs;
use std::path::Path;

use content::Digest;
use image_builder::oci::{Descriptor, annotation, media_type};
use serde_json::json;

use super::gzip;

/// Media types of one kind of image.
pub(crate) struct Types {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

pub(crate) const OCI: Types = Types {
    index: media_type::OCI_INDEX,
    manifest: media_type::OCI_MANIFEST,
    config: media_type::OCI_CONFIG,
    layer: media_type::OCI_LAYER_GZIP,
};

pub(crate) const DOCKER: Types = Types {
    index: media_type::DOCKER_INDEX,
    manifest: media_type::DOCKER_MANIFEST,
    config: media_type::DOCKER_CONFIG,
    layer: media_type::DOCKER_LAYER_GZIP,
};

/// A layout folder that is being filled.
pub(crate) struct Filling<'a>(pub(crate) &'a Path, pub(crate) &'a Types);

impl Filling<'_> {
    pub(crate) fn put(&self, kind: &str, bytes: &[u8]) -> Descriptor {
        let blobs = self.0.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let descriptor = Descriptor::of(kind, bytes);
        fs::write(blobs.join(descriptor.digest.to_hex()), bytes).unwrap();
        descriptor
    }

    /// An image for `platform`, of these tars.
    pub(crate) fn image(&self, platform: &str, tars: &[Vec<u8>]) -> Descriptor {
        let mut parts = platform.split('/');
        let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
        let ids: Vec<_> = tars.iter().map(|tar| Digest::of(tar)).collect();
        let config = json!({
            "architecture": architecture, "os": os, "rootfs": {"type": "layers", "diff_ids": ids},
            "config": {"Env": [format!("FOR={platform}")]},
        });
        let config = self.put(self.1.config, config.to_string().as_bytes());
        let layers: Vec<_> = tars.iter().map(|tar| self.put(self.1.layer, &gzip(tar))).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": self.1.manifest, "config": config, "layers": layers,
        });
        let manifest = self.put(self.1.manifest, manifest.to_string().as_bytes());
        Descriptor { platform: Some(platform.parse().unwrap()), ..manifest }
    }

    /// The layout's own index, in which `top` is named `v1`.
    pub(crate) fn name(&self, top: &Descriptor) {
        let top = top.clone().annotated(annotation::REF_NAME, "v1");
        let index = json!({"schemaVersion": 2, "manifests": [top]});
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
        fs::write(self.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// An index of two images, and of what says how they were built.
    pub(crate) fn index(&self, images: &[(&str, Vec<Vec<u8>>)]) {
        let mut listed: Vec<_> =
            images.iter().map(|(platform, tars)| self.image(platform, tars)).collect();
        listed.push(self.image("unknown/unknown", &[b"no tar at all".to_vec()]));
        let index = json!({"schemaVersion": 2, "mediaType": self.1.index, "manifests": listed});
        self.name(&self.put(self.1.index, index.to_string().as_bytes()));
    }
}
