//! How chunks are stored, as the command line says it.

use clap::{Args, ValueEnum};
use rafs::{ChunkSize, Compressor, Digester, Encoder};

use crate::convert::Format;

/// How chunks are stored.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Format")]
pub(in crate::cli) struct FormatArgs {
    /// How long a chunk is: a power of two from 4k to 16m, in bytes, or with k or m
    #[arg(long, value_name = "SIZE", visible_alias = "fs-chunk-size", default_value = "1m", value_parser = chunk_size)]
    chunk_size: ChunkSize,
    /// How long a batch of small files may get, as a chunk's; 0 to store each file alone
    #[arg(long, value_name = "SIZE", default_value = "256k", value_parser = batch_size)]
    batch_size: BatchSize,
    /// How chunks are compressed; with `none`, the kernel takes data blobs as devices as they are
    #[arg(long, value_enum, default_value_t = CompressorName::Zstd)]
    compressor: CompressorName,
    /// zstd's level
    #[arg(long, value_name = "N", default_value_t = Encoder::LEVEL, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=22))]
    compression_level: i32,
    /// How chunks are hashed
    #[arg(long, value_enum, default_value_t = DigesterName::Sha256)]
    digester: DigesterName,
    /// The format's version; there is one
    #[arg(long, hide = true, default_value = "6", value_parser = ["6"])]
    fs_version: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressorName {
    Zstd,
    #[value(name = "lz4_block", alias = "lz4")]
    Lz4,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DigesterName {
    Sha256,
    Blake3,
}

#[derive(Debug, Clone, Copy)]
struct BatchSize(Option<ChunkSize>);

/// A number of bytes: decimal or, with `0x`, hexadecimal; `k` and `m` mean 1024 and its square.
fn bytes(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    let (digits, unit) = match lower.trim_end_matches("ib").strip_suffix(['k', 'm']) {
        Some(digits) if lower.contains('k') => (digits.to_owned(), 1 << 10),
        Some(digits) => (digits.to_owned(), 1 << 20),
        None => (lower, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(unit)
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    let size = bytes(text).and_then(ChunkSize::new);
    size.ok_or_else(|| "it is no power of two from 4k to 16m".to_owned())
}

fn batch_size(text: &str) -> Result<BatchSize, String> {
    if bytes(text) == Some(0) {
        Ok(BatchSize(None))
    } else {
        chunk_size(text).map(|it| BatchSize(Some(it)))
    }
}

impl FormatArgs {
    pub(in crate::cli) fn format(&self) -> Format {
        Format {
            chunk_size: self.chunk_size,
            batch_size: self.batch_size.0,
            compressor: match self.compressor {
                CompressorName::Zstd => Compressor::Zstd,
                CompressorName::Lz4 => Compressor::Lz4,
                CompressorName::None => Compressor::None,
            },
            level: self.compression_level,
            digester: match self.digester {
                DigesterName::Sha256 => Digester::Sha256,
                DigesterName::Blake3 => Digester::Blake3,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_and_nydusify_write_them() {
        let size = |text: &str| chunk_size(text).map(ChunkSize::bytes).ok();
        assert_eq!(size("1m"), Some(1 << 20));
        assert_eq!(size("64KiB"), Some(64 << 10));
        assert_eq!(size("0x100000"), Some(1 << 20));
        assert_eq!(size("4096"), Some(4096));
        for bad in ["", "0", "3m", "32m", "1g", "-1", "m", "5000"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert!(batch_size("0").is_ok_and(|size| size.0.is_none()));
    }
}
