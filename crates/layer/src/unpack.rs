//! gzip, zstd or neither, told by the first bytes; stops at bombs.

use std::fmt;
use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::limits::Limits;

/// How a layer is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, of one member or many (RFC 1952).
    Gzip,
    /// zstd, of one frame or many (RFC 8878).
    Zstd,
}

/// More came out than a layer may hold. Inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bomb {
    /// Too many bytes for so few.
    #[error("{packed} bytes become more than {ratio} times as many")]
    Ratio {
        /// How many compressed bytes were read.
        packed: u64,
        /// The ceiling.
        ratio: u32,
    },
    /// Too many bytes at all.
    #[error("the layer holds more than {0} bytes")]
    Size(u64),
}

/// How many compressed bytes are asked for at once.
const BUFFER: usize = 128 << 10;

/// The biggest window of a zstd frame, as a power of two: 128 MiB, what the format's own program
/// takes unless told otherwise. Frames of ordinary levels have at most 8 MiB.
const MAX_WINDOW_LOG: u32 = 27;

type Input<R> = BufReader<Counted<io::Chain<Cursor<Vec<u8>>, R>>>;

/// Reads what is in a layer.
pub struct Unpacker<R: Read> {
    decoder: Decoder<R>,
    limits: Limits,
    unpacked: u64,
}

enum Decoder<R: Read> {
    Plain(Input<R>),
    Gzip(Box<MultiGzDecoder<Input<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Input<R>>),
}

impl<R: Read> Unpacker<R> {
    /// Looks at the first bytes of `input`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn new(mut input: R, limits: Limits) -> io::Result<Self> {
        let mut head = Vec::with_capacity(4);
        input.by_ref().take(4).read_to_end(&mut head)?;
        let compression = sniff(&head);
        let counted = Counted { inner: Cursor::new(head).chain(input), count: 0 };
        let input = BufReader::with_capacity(BUFFER, counted);
        let decoder = match compression {
            Compression::Plain => Decoder::Plain(input),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Decoder::Zstd(decoder)
            }
        };
        Ok(Self { decoder, limits, unpacked: 0 })
    }

    /// How the layer is compressed.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        match self.decoder {
            Decoder::Plain(_) => Compression::Plain,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }

    /// How many bytes came out so far.
    #[must_use]
    pub const fn unpacked(&self) -> u64 {
        self.unpacked
    }

    fn packed(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(input) => input.get_ref().count,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref().count,
        }
    }

    fn check(&self) -> Result<(), Bomb> {
        if self.unpacked > self.limits.unpacked {
            return Err(Bomb::Size(self.limits.unpacked));
        }
        let packed = self.packed();
        let ratio = self.limits.ratio;
        if self.unpacked > self.limits.ratio_from
            && self.unpacked > packed.saturating_mul(u64::from(ratio))
        {
            return Err(Bomb::Ratio { packed, ratio });
        }
        Ok(())
    }
}

/// What bytes begin with is what they are: gzip 1f 8b, zstd 28 b5 2f fd or a skippable frame
/// 5? 2a 4d 18 (RFC 8878, section 3.1.2). No tar begins so: its first bytes are a name.
fn sniff(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
        _ => Compression::Plain,
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            Decoder::Plain(input) => input.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.unpacked = self.unpacked.saturating_add(read as u64);
        self.check().map_err(|bomb| io::Error::new(io::ErrorKind::InvalidData, bomb))?;
        Ok(read)
    }
}

impl<R: Read> fmt::Debug for Unpacker<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("compression", &self.compression())
            .field("unpacked", &self.unpacked)
            .finish_non_exhaustive()
    }
}

/// A reader that counts.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count = self.count.saturating_add(read as u64);
        Ok(read)
    }
}
