//! One member after the other, in every dialect.

use std::io::{self, Read};

use crate::data::{FileData, Stored};
use crate::error::{TarError, printable};
use crate::header::{BLOCK, Header};
use crate::limits::Limits;
use crate::member::{Member, MemberKind, field, kind, meta};
use crate::pax::Pax;
use crate::unpack::Bomb;

/// The longest extended header, or long name, that is read: what Go's reader takes.
const MAX_EXTENSION: u64 = 1 << 20;

/// Extended headers before a member.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    const fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }
}

/// Reads a tar, member by member.
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    limits: Limits,
    /// How many bytes were read.
    pub(crate) offset: u64,
    /// Stored bytes of the member that were not read yet, and those after them up to a block.
    pub(crate) unread: u64,
    pub(crate) padding: u64,
    ended: bool,
    members: u64,
    metadata: u64,
    content: u64,
}

impl<R: Read> TarReader<R> {
    /// A reader at the beginning of a tar that is not, or no longer, compressed.
    pub const fn new(input: R, limits: Limits) -> Self {
        Self {
            input,
            limits,
            offset: 0,
            unread: 0,
            padding: 0,
            ended: false,
            members: 0,
            metadata: 0,
            content: 0,
        }
    }

    /// The next member; `None` at the end of the archive, when everything after it was read too.
    ///
    /// # Errors
    /// If the archive is none, contradicts itself, or is beyond the limits.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        self.skip_rest()?;
        let mut extensions = Extensions::default();
        while let Some(header) = self.header()? {
            self.members = self.members.saturating_add(1);
            if self.members > self.limits.entries {
                return Err(TarError::TooMany("members"));
            }
            let slot = match header.kind() {
                b'x' => {
                    let pax = Pax::parse(&self.extension(&header)?)?;
                    if extensions.pax.replace(pax).is_some() {
                        return Err(TarError::StrayExtension);
                    }
                    continue;
                }
                b'g' if extensions.is_empty() => {
                    Pax::check_global(&self.extension(&header)?)?;
                    continue;
                }
                b'g' => return Err(TarError::StrayExtension),
                b'L' => &mut extensions.name,
                b'K' => &mut extensions.link,
                _ => return self.member(&header, extensions).map(Some),
            };
            if slot.is_some() {
                return Err(TarError::StrayExtension);
            }
            *slot = Some(long_name(self.extension(&header)?)?);
        }
        if extensions.is_empty() { Ok(None) } else { Err(TarError::StrayExtension) }
    }

    /// The data of the member that came last.
    pub fn data<'a>(&'a mut self, member: &'a Member) -> FileData<'a> {
        FileData::new(self, &member.extents, member.size)
    }

    /// The next header; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let at = self.offset;
        let Some(block) = self.block()? else {
            // Some writers leave the end out, umoci's `insert` among them. Whether a layer is all
            // there, its digest says.
            self.ended = true;
            return if at > 0 { Ok(None) } else { Err(TarError::Truncated(at)) };
        };
        if block != [0; BLOCK] {
            return Header::new(block).map(Some).ok_or(TarError::NoHeader(at));
        }
        // Two blocks of zeros are the end; one, and then nothing, is taken for it.
        let at = self.offset;
        if self.block()?.is_some_and(|block| block != [0; BLOCK]) {
            return Err(TarError::NoHeader(at));
        }
        self.ended = true;
        // Whoever hashes the layer, or decompresses it, must see all of it.
        let mut scratch = vec![0; 64 << 10];
        while self.fill(&mut scratch)? > 0 {}
        Ok(None)
    }

    /// The bytes after an extended header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let field = || TarError::Field { path: printable(&header.name()), field: "size" };
        let size = header.size().ok_or_else(field)?;
        if size > MAX_EXTENSION {
            return Err(TarError::LongExtension(size));
        }
        // Bounded, so it may be believed.
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        if self.fill(&mut bytes)? != bytes.len() {
            return Err(TarError::Truncated(self.offset));
        }
        self.padding = padding(size);
        self.skip_rest()?;
        Ok(bytes)
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> Result<Member, TarError> {
        let Extensions { pax, name, link } = extensions;
        let mut pax = pax.unwrap_or_default();
        let named = header.name();
        let two_names = |one: &Option<Vec<u8>>, other: &Option<Vec<u8>>| matches!((one, other), (Some(one), Some(other)) if one != other);
        if two_names(&pax.path, &name) || two_names(&pax.link, &link) {
            return Err(TarError::TwoNames(printable(&named)));
        }
        let path = pax.sparse.name.take().or_else(|| pax.path.take()).or(name).unwrap_or(named);
        let link = pax.link.take().or(link).unwrap_or_else(|| header.link().to_vec());
        let kind = kind(header, &path)?;
        let meta = meta(header, &mut pax, &path)?;
        let stored = pax.size.or_else(|| header.size()).ok_or_else(|| field(&path, "size"))?;
        let mut member = Member { path, kind, link, meta, size: stored, extents: Vec::new() };
        self.locate(header, &pax, &mut member, stored)?;
        self.account(&member)?;
        Ok(member)
    }

    /// Counts what a member costs.
    fn account(&mut self, member: &Member) -> Result<(), TarError> {
        let xattrs = member.meta.xattrs.iter();
        let xattrs = xattrs.map(|(name, value)| name.len().saturating_add(value.len()));
        let bytes =
            xattrs.fold(member.path.len().saturating_add(member.link.len()), usize::saturating_add);
        self.metadata = self.metadata.saturating_add(bytes as u64);
        if member.kind == MemberKind::File {
            self.content = self.content.saturating_add(member.size);
        }
        if self.metadata > self.limits.metadata {
            return Err(TarError::TooMany("names and attributes"));
        }
        if self.content > self.limits.unpacked {
            return Err(Bomb::Size(self.limits.unpacked).into());
        }
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut unread = std::mem::take(&mut self.unread);
        // No byte of a file; who leaves the archive's end out leaves this out too.
        let padding = std::mem::take(&mut self.padding);
        let mut scratch = [0; 8 << 10];
        while unread > 0 {
            let upto = usize::try_from(unread).unwrap_or(usize::MAX).min(scratch.len());
            let read = self.fill(scratch.get_mut(..upto).unwrap_or_default())?;
            if read < upto {
                return Err(TarError::Truncated(self.offset));
            }
            unread = unread.saturating_sub(read as u64);
        }
        let padding = usize::try_from(padding).unwrap_or_default();
        self.fill(scratch.get_mut(..padding).unwrap_or_default())?;
        Ok(())
    }

    /// The next block; `None` where the bytes end.
    pub(crate) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        match self.fill(&mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(TarError::Truncated(self.offset)),
        }
    }

    /// Reads until the buffer is full or the bytes end.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(read) => {
                    filled = filled.saturating_add(read);
                    self.offset = self.offset.saturating_add(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::from_io(error)),
            }
        }
        Ok(filled)
    }
}

impl<R: Read> Stored for TarReader<R> {
    fn read_stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let upto = usize::try_from(self.unread).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(buffer.get_mut(..upto).unwrap_or_default())?;
        self.unread = self.unread.saturating_sub(read as u64);
        self.offset = self.offset.saturating_add(read as u64);
        if read == 0 && upto > 0 {
            let cut = TarError::Truncated(self.offset);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
        }
        Ok(read)
    }
}

/// How many bytes follow `size` bytes up to the next block.
pub(crate) const fn padding(size: u64) -> u64 {
    (BLOCK as u64).wrapping_sub(size % BLOCK as u64) % BLOCK as u64
}

/// The bytes of a long name, which a NUL ends.
fn long_name(mut bytes: Vec<u8>) -> Result<Vec<u8>, TarError> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    if bytes.iter().skip(end).any(|byte| *byte != 0) {
        return Err(TarError::TwoNames(printable(&bytes)));
    }
    bytes.truncate(end);
    Ok(bytes)
}
