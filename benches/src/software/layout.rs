//! An OCI layout folder of gzipped tars.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use content::{BlobHasher, Digest};
use image_builder::oci::{Descriptor, annotation, media_type};
use serde_json::json;

use super::packages::output;

/// A layer that is in the layout.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    gzip: Descriptor,
    /// The digest of the tar.
    diff_id: Digest,
}

/// A layout that is being made.
#[derive(Debug)]
pub(super) struct Making {
    folder: PathBuf,
    listed: Vec<serde_json::Value>,
}

impl Making {
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(blobs(folder))?;
        std::fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { folder: folder.to_owned(), listed: Vec::new() })
    }

    /// Packs `tar` as gzip does, at its own level, and takes it as a layer.
    pub(super) fn layer(&self, tar: &Path) -> anyhow::Result<Layer> {
        let packed = self.folder.join("layer.gz");
        let mut gzip = Command::new("gzip");
        gzip.args(["--no-name", "--stdout"]).stdin(File::open(tar)?).stdout(File::create(&packed)?);
        let status = gzip.stderr(Stdio::inherit()).status().context("gzip does not start")?;
        ensure!(status.success(), "gzip: {status}");
        let (digest, size) = digest(&packed)?;
        std::fs::rename(&packed, blobs(&self.folder).join(digest.to_hex()))?;
        let gzip = Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size);
        Ok(Layer { gzip, diff_id: self::digest(tar)?.0 })
    }

    /// Lists an image of these layers as `tag`.
    pub(super) fn image(&mut self, layers: &[Layer], tag: &str) -> anyhow::Result<()> {
        let ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let config = json!({
            "architecture": testbed::image::architecture(), "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": ids },
        });
        let config = self.put(media_type::OCI_CONFIG, &config)?;
        let layers: Vec<_> = layers.iter().map(|layer| &layer.gzip).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": config, "layers": layers,
        });
        let listed = self.put(media_type::OCI_MANIFEST, &manifest)?;
        let listed = listed.annotated(annotation::REF_NAME, tag);
        self.listed.push(serde_json::to_value(listed)?);
        let index = json!({ "schemaVersion": 2, "manifests": self.listed });
        std::fs::write(self.folder.join("index.json"), index.to_string())?;
        Ok(())
    }

    fn put(&self, kind: &str, value: &serde_json::Value) -> anyhow::Result<Descriptor> {
        let bytes = value.to_string();
        let descriptor = Descriptor::of(kind, bytes.as_bytes());
        std::fs::write(blobs(&self.folder).join(descriptor.digest.to_hex()), bytes)?;
        Ok(descriptor)
    }
}

/// Where a layout has its blobs.
pub(super) fn blobs(layout: &Path) -> PathBuf {
    layout.join("blobs/sha256")
}

/// Writes `tar`: of each pair, the paths below the folder.
pub(super) fn write_tar(tar: &Path, from: &[(&Path, &[PathBuf])]) -> anyhow::Result<()> {
    let mut command = Command::new("tar");
    command.args(["--create", "--numeric-owner", "--no-recursion", "--null", "--file"]).arg(tar);
    for (number, (folder, paths)) in from.iter().enumerate() {
        let list = tar.with_extension(format!("{number}.list"));
        let mut file = std::io::BufWriter::new(File::create(&list)?);
        for path in *paths {
            file.write_all(path.as_os_str().as_encoded_bytes())?;
            file.write_all(b"\0")?;
        }
        file.into_inner()?;
        command.arg("--directory").arg(folder).arg("--files-from").arg(list);
    }
    output(&mut command).map(drop)
}

/// A file's digest and length.
fn digest(path: &Path) -> anyhow::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (BlobHasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let length = hasher.hashed();
    Ok((hasher.finish(), length))
}
