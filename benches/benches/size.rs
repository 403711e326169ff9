//! How many bytes a chunked image has, over those of the image that it was made of.
//!
//! - `over_zstd`: data blobs and the bootstrap's layer, over the same layers' tars compressed as
//!   one zstd stream each, at the same level. A stream sees what came long before; a chunk can be
//!   read alone.
//! - `over_changed`: what an upgrade of one package adds. The new version is converted with
//!   `--chunk-dict` on the one before; what counts is every data blob that the one before does not
//!   have. Under it stand the chunks of the new version that the one before does not have, each
//!   compressed as it is stored, in its chunk or in its batch with others of them, and nothing
//!   else. The bootstrap is of the whole image, whatever changed; with it the sum is told beside.
//!
//! The same input gives the same bytes, so one round is all of them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::ensure;
use benches::images::{self, bytes, scratch};
use benches::report::{Report, Row};
use benches::run::run;
use benches::software::Software;
use benches::units::{Press, Units, chunks};
use image_builder::convert::Format;
use image_builder::oci::Manifest;
use rafs::ChunkDigest;

fn main() -> anyhow::Result<()> {
    let image = Software::new()?;
    let to = scratch("size")?;
    let layout = to.join("layout");
    let at = |version: &str| format!("oci:{}:{version}", layout.display());
    let work = to.join("work");
    run(&mut images::convert(&image.place("v1"), &at("v1"), &work)?, 2)?;
    let mut second = images::convert(&image.place("v2"), &at("v2"), &work)?;
    run(second.arg("--chunk-dict").arg(at("v1")), 2)?;

    let mut report = Report::new("size", 1);
    let format = Format::default();
    let level = format!("zstd -{} of each layer", format.level);
    let name = image.name();
    let (before, after) = (images::manifest(&at("v1"))?, images::manifest(&at("v2"))?);
    let zstd = zstd(&layers(&image, "v1")?, format.level)?;
    report.add(
        Row::of(&name, "over_zstd", [bytes(&before.layers) / zstd]).against(&level).at_most(1.08),
    );
    let data = bytes(before.layers.iter().filter(|layer| layer.is_data_blob()));
    report.add(Row::of(&name, "over_zstd, without bootstrap", [data / zstd]).against(&level));
    let gzip = bytes(&images::manifest(&image.place("v1"))?.layers);
    report.add(Row::of(&name, "over_gzip", [bytes(&before.layers) / gzip]).against("gzip -6"));
    report.add(Row::of(&name, "mib", [bytes(&before.layers) / f64::from(1 << 20)]));

    let (package, length) = image.upgraded();
    let case = format!("{package} upgraded, {} MB", length / 1_000_000);
    let changed = changed(&layers(&image, "v2")?, &known(&at("v1"))?, &format)?;
    let new = |only: bool| {
        let new = after.layers.iter().filter(|layer| !lists(&before, layer.digest));
        bytes(new.filter(|layer| !only || layer.is_data_blob()))
    };
    ensure!(changed > 0.0, "the upgrade changed nothing");
    let stored = "the changed chunks as they are stored";
    report.add(Row::of(&case, "over_changed", [new(true) / changed]).against(stored).at_most(1.15));
    report.add(Row::of(&case, "over_changed, with bootstrap", [new(false) / changed]));
    report.add(Row::of(&case, "changed_mib", [changed / f64::from(1 << 20)]));
    report.finish()
}

fn lists(manifest: &Manifest, digest: content::Digest) -> bool {
    manifest.layers.iter().any(|layer| layer.digest == digest)
}

fn layers(image: &Software, version: &str) -> anyhow::Result<Vec<PathBuf>> {
    let manifest = images::manifest(&image.place(version))?;
    Ok(manifest.layers.iter().map(|layer| image.blob(&layer.digest)).collect())
}

/// The digests of an image's chunks.
fn known(place: &str) -> anyhow::Result<HashSet<ChunkDigest>> {
    let opened = images::chunked(place)?.opened;
    Ok(opened.image().chunks.iter().map(|chunk| chunk.digest).collect())
}

/// Bytes of the chunks of these layers that are not known, as they are stored.
fn changed(
    layers: &[PathBuf],
    known: &HashSet<ChunkDigest>,
    format: &Format,
) -> anyhow::Result<f64> {
    let (mut press, mut units) = (Press::new(format)?, Units::new(*format, known.clone()));
    let (mut sum, mut failed) = (0, None);
    let mut unit = |unit: &[u8]| match press.stored(unit) {
        Ok(stored) => sum += stored as u64,
        Err(error) => failed = Some(error),
    };
    for layer in layers {
        chunks(layer, format, |chunk| units.push(chunk, format.digester.digest(chunk), &mut unit))?;
        units.end(&mut unit);
    }
    failed.map_or(Ok(()), Err)?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio's part")]
    Ok(sum as f64)
}

/// Bytes of these gzipped layers, each as one zstd stream.
fn zstd(layers: &[PathBuf], level: i32) -> anyhow::Result<f64> {
    let mut sum = 0;
    for layer in layers {
        let packed = io::BufReader::with_capacity(128 << 10, File::open(layer)?);
        let mut zstd = zstd::stream::write::Encoder::new(Counter(0), level)?;
        io::copy(&mut flate2::bufread::MultiGzDecoder::new(packed), &mut zstd)?;
        sum += zstd.finish()?.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio's part")]
    Ok(sum as f64)
}

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
