//! What the bytes of an image cannot avoid, step by step: CPU seconds of this thread, each step
//! alone, with the libraries that `image-builder` links.
//!
//! A floor is strict. A step works on bytes that were read before its clock ran, into memory that
//! is there already. Reading, writing, parsing, the tables of chunks and names, the tree and its
//! hashes are nobody's step, though no program does without them.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use content::BlobHasher;
use flate2::bufread::MultiGzDecoder;
use image_builder::convert::Format;
use rustix::time::{ClockId, clock_gettime};

use crate::units::{Press, Units, chunks};

/// A clock of this thread's CPU time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopwatch {
    /// Seconds so far.
    pub seconds: f64,
}

impl Stopwatch {
    /// Does `work` while the clock runs.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = now();
        let done = work();
        self.seconds += now() - begin;
        done
    }
}

/// CPU seconds of this thread so far.
#[expect(clippy::cast_precision_loss, reason = "seconds of a thread are few")]
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// So much is read at once: it is still in the core's cache when the step sees it.
const STEP: usize = 128 << 10;

/// Seconds of SHA-256 over all bytes of these files.
///
/// # Errors
/// If one cannot be read.
pub fn hash(files: &[PathBuf]) -> anyhow::Result<f64> {
    let (mut watch, mut buffer) = (Stopwatch::default(), vec![0; STEP]);
    for path in files {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        let mut hasher = BlobHasher::new();
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            watch.time(|| hasher.update(&buffer[..read]));
        }
        watch.time(|| hasher.finish());
    }
    Ok(watch.seconds)
}

/// Seconds of inflating these gzipped layers, with the check that gzip has of itself.
///
/// # Errors
/// If one cannot be read.
pub fn inflate(layers: &[PathBuf]) -> anyhow::Result<f64> {
    let (mut watch, mut buffer) = (Stopwatch::default(), vec![0; STEP]);
    for layer in layers {
        let packed = std::fs::read(layer)?;
        let mut gzip = MultiGzDecoder::new(packed.as_slice());
        watch.time(|| {
            while gzip.read(&mut buffer)? > 0 {}
            std::io::Result::Ok(())
        })?;
    }
    Ok(watch.seconds)
}

/// Seconds of what happens to chunks.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// The digests of all chunks of all files: who does not know a chunk's digest does not know
    /// whether it is there already.
    pub hash: f64,
    /// Compressing each content once.
    pub compress: f64,
}

/// Hashes and compresses the files of these layers as an image has them that is stored so.
///
/// # Errors
/// If a layer cannot be read.
pub fn hash_and_compress(layers: &[PathBuf], format: &Format) -> anyhow::Result<Chunks> {
    let (mut hash, mut compress) = (Stopwatch::default(), Stopwatch::default());
    let mut press = Press::new(format)?;
    let mut units = Units::new(*format, HashSet::new());
    let mut failed = None;
    let mut unit = |unit: &[u8]| {
        if let Err(error) = compress.time(|| press.stored(unit)) {
            failed = Some(error);
        }
    };
    for layer in layers {
        chunks(layer, format, |chunk| {
            let digest = hash.time(|| format.digester.digest(chunk));
            units.push(chunk, digest, &mut unit);
        })?;
        units.end(&mut unit);
    }
    failed.map_or(Ok(()), Err)?;
    Ok(Chunks { hash: hash.seconds, compress: compress.seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_counts() {
        let mut watch = Stopwatch::default();
        std::thread::sleep(std::time::Duration::from_millis(50));
        watch.time(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        assert!(watch.seconds < 0.04, "sleeping is no work: {watch:?}");
        let begin = std::time::Instant::now();
        watch.time(|| while begin.elapsed().as_millis() < 60 {});
        assert!(watch.seconds > 0.005, "{watch:?}");
    }
}
