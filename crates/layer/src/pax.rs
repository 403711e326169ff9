//! PAX extended headers: `LENGTH KEY=VALUE\n`, again and again (POSIX.1-2017, pax, "pax Extended
//! Header").

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use tree::Time;

use crate::sparse::{self, Extent};

/// Why an extended header is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaxError {
    /// A record's length is no number, or not that of the record.
    #[error("a record is not as long as it says")]
    Length,
    /// A record has no key, or no end.
    #[error("a record is not KEY=VALUE and a line's end")]
    Form,
    /// A value is not what the key needs.
    #[error("the value of {0} makes no sense")]
    Value(String),
    /// A global header would change files.
    #[error("a global header sets {0}, which some programs apply and some do not")]
    Global(String),
}

/// What extended headers say of one member.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pax {
    /// The path.
    pub path: Option<Vec<u8>>,
    /// Where a link points.
    pub link: Option<Vec<u8>>,
    /// How many bytes of data follow.
    pub size: Option<u64>,
    /// The owner.
    pub uid: Option<u64>,
    /// The owning group.
    pub gid: Option<u64>,
    /// When the content changed.
    pub mtime: Option<Time>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What GNU says of a sparse file.
    pub sparse: Sparse,
    /// As bsdtar says them, where star's key, which bsdtar writes too, is missing.
    libarchive: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What GNU says of a sparse file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    /// The version: 1.0 has its map before the data.
    pub version: (Option<u64>, Option<u64>),
    /// The real path: the other one says what it is to programs that know nothing of it.
    pub name: Option<Vec<u8>>,
    /// The size with holes.
    pub size: Option<u64>,
    /// Versions 0.0 and 0.1: where data is.
    pub map: Option<Vec<Extent>>,
    /// Version 0.0: the offset whose length comes next.
    offset: Option<u64>,
}

impl Pax {
    /// What the bytes of one header say.
    ///
    /// # Errors
    /// If they are none, or a value makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, PaxError> {
        let mut pax = Self::default();
        for record in Records(bytes) {
            let (key, value) = record?;
            pax.take(key, value).ok_or_else(|| PaxError::Value(printable(key)))?;
        }
        for (name, value) in std::mem::take(&mut pax.libarchive) {
            pax.xattrs.entry(name).or_insert(value);
        }
        if pax.sparse.offset.is_some() {
            return Err(PaxError::Value("GNU.sparse.offset".to_owned()));
        }
        Ok(pax)
    }

    /// Takes one record in; of several with one key, the last counts. An empty value takes back
    /// what was said, as POSIX has it and Go does; so no tar can say that an attribute is empty.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            if value.is_empty() {
                self.xattrs.remove(name);
            } else {
                self.xattrs.insert(name.to_vec(), value.to_vec());
            }
            return Some(());
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let value = STANDARD_NO_PAD.decode(value).or_else(|_| STANDARD.decode(value)).ok()?;
            self.libarchive.insert(percent_decoded(name)?, value);
            return Some(());
        }
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link = text(value)?,
            b"size" => self.size = number(value)?,
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value)?),
            _ => self.sparse.take(key, value)?,
        }
        Some(())
    }

    /// Checks a global header: nothing in it may change a file.
    ///
    /// # Errors
    /// If it is no header, or would.
    pub fn check_global(bytes: &[u8]) -> Result<(), PaxError> {
        for record in Records(bytes) {
            let (key, _) = record?;
            let changes =
                matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime")
                    || [&b"SCHILY.xattr."[..], b"LIBARCHIVE.xattr.", b"GNU.sparse."]
                        .iter()
                        .any(|prefix| key.starts_with(prefix));
            if changes {
                return Err(PaxError::Global(printable(key)));
            }
        }
        Ok(())
    }
}

impl Sparse {
    /// Whether anything is said of holes.
    #[must_use]
    pub const fn is_sparse(&self) -> bool {
        self.map.is_some() || self.version.0.is_some() || self.size.is_some()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"GNU.sparse.major" => self.version.0 = number(value)?,
            b"GNU.sparse.minor" => self.version.1 = number(value)?,
            b"GNU.sparse.name" => self.name = text(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = number(value)?,
            b"GNU.sparse.map" => self.map = Some(sparse::parse_list(value)?),
            b"GNU.sparse.offset" if self.offset.is_none() => self.offset = Some(number(value)??),
            b"GNU.sparse.numbytes" => {
                let extent = Extent { offset: self.offset.take()?, length: number(value)?? };
                self.map.get_or_insert_default().push(extent);
            }
            b"GNU.sparse.offset" => return None,
            _ => {}
        }
        Some(())
    }
}

/// The records of a header.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), PaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Some programs fill up with NULs.
        if self.0.iter().all(|byte| *byte == 0) {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.0 = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<(&'a [u8], &'a [u8]), PaxError> {
        let space = self.0.iter().position(|byte| *byte == b' ').ok_or(PaxError::Length)?;
        let (length, _) = self.0.split_at_checked(space).ok_or(PaxError::Length)?;
        let length = number(length).flatten().and_then(|length| usize::try_from(length).ok());
        let (record, rest) =
            length.and_then(|length| self.0.split_at_checked(length)).ok_or(PaxError::Length)?;
        self.0 = rest;
        let body = record.get(space.saturating_add(1)..).ok_or(PaxError::Length)?;
        let body = body.strip_suffix(b"\n").ok_or(PaxError::Form)?;
        let equals = body.iter().position(|byte| *byte == b'=').ok_or(PaxError::Form)?;
        let (key, value) = body.split_at_checked(equals).ok_or(PaxError::Form)?;
        if key.is_empty() || key.contains(&0) {
            return Err(PaxError::Form);
        }
        Ok((key, value.get(1..).unwrap_or_default()))
    }
}

/// A path; a NUL would end it for some programs and not for others.
fn text(value: &[u8]) -> Option<Option<Vec<u8>>> {
    if value.contains(&0) {
        return None;
    }
    Some((!value.is_empty()).then(|| value.to_vec()))
}

/// A decimal number without sign or blanks; `Some(None)` if there is nothing.
pub(crate) fn number(value: &[u8]) -> Option<Option<u64>> {
    if value.is_empty() {
        return Some(None);
    }
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    // More than fits is no number here.
    text.parse().ok().filter(|number| i64::try_from(*number).is_ok()).map(Some)
}

/// Seconds with a fraction, of which nine digits count, as a moment; rounded down.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let whole = number(parts.next()?)?.unwrap_or(0);
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) || value.is_empty() {
        return None;
    }
    let mut nanoseconds = 0_u32;
    for at in 0..9 {
        let digit = fraction.get(at).map_or(0, |digit| u32::from(digit & 15));
        nanoseconds = nanoseconds.checked_mul(10)?.checked_add(digit)?;
    }
    let whole = i64::try_from(whole).ok()?;
    match (negative, nanoseconds) {
        (false, _) => Time::new(whole, nanoseconds),
        (true, 0) => Time::new(whole.checked_neg()?, 0),
        (true, _) => Time::new(
            whole.checked_neg()?.checked_sub(1)?,
            1_000_000_000_u32.checked_sub(nanoseconds)?,
        ),
    }
}

/// `%41` is `A`: how bsdtar writes what cannot stand in a key.
fn percent_decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            out.push(*first);
        }
    }
    Some(out)
}

fn printable(key: &[u8]) -> String {
    // Whoever reads the error needs the beginning of it.
    key.iter().take(64).copied().collect::<Vec<u8>>().escape_ascii().to_string()
}
