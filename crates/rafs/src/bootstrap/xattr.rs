//! Extended attributes.

use std::borrow::Cow;

use crate::error::{RafsError, Unsupported};
use crate::ondisk::inode::{XATTR_PREFIXES, XATTR_WORD, XattrEntry, XattrHeader};
use crate::slice::{part, read};

/// One extended attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Xattr<'a> {
    /// Its whole name, with the prefix.
    pub name: Cow<'a, [u8]>,
    /// Its value.
    pub value: &'a [u8],
}

/// The attributes of an inode. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Xattrs<'a> {
    body: &'a [u8],
    /// Where in the body the next one begins.
    at: u64,
    /// Where the body lies, to say in errors.
    from: u64,
}

impl<'a> Xattrs<'a> {
    /// The attributes in `body`, which lies at `from` and begins with a header unless it is empty.
    pub(crate) fn read(body: &'a [u8], from: u64) -> Result<Self, RafsError> {
        if body.is_empty() {
            return Ok(Self { body, at: 0, from });
        }
        let header: &XattrHeader = read(body, 0, "extended attributes")?;
        if header.shared != 0 {
            return Err(RafsError::Unsupported(Unsupported::SharedXattrs));
        }
        Ok(Self { body, at: size_of::<XattrHeader>() as u64, from })
    }

    fn read_next(&mut self) -> Result<Xattr<'a>, RafsError> {
        let what = "extended attributes";
        let entry: &XattrEntry = read(self.body, self.at, what)?;
        let name_at = self.at.saturating_add(size_of::<XattrEntry>() as u64);
        let name = part(self.body, name_at, u64::from(entry.name_size), what)?;
        let value_at = name_at.saturating_add(u64::from(entry.name_size));
        let value = part(self.body, value_at, u64::from(entry.value_size.get()), what)?;
        let end = value_at.saturating_add(u64::from(entry.value_size.get()));
        self.at = end.next_multiple_of(XATTR_WORD);
        let bad = |why| RafsError::corrupt(what, self.from, why);
        if name.contains(&0) {
            return Err(bad("a name has a NUL in it"));
        }
        let (_, prefix) = XATTR_PREFIXES
            .iter()
            .find(|(number, _)| *number == entry.prefix)
            .ok_or_else(|| bad("a name's prefix is unknown"))?;
        // A prefix that ends with a dot wants a name after it; the others are names.
        if prefix.ends_with(b".") == name.is_empty() {
            return Err(bad("a name is empty, or goes on where it should not"));
        }
        let name =
            if name.is_empty() { Cow::Borrowed(*prefix) } else { [prefix, name].concat().into() };
        Ok(Xattr { name, value })
    }
}

impl<'a> Iterator for Xattrs<'a> {
    type Item = Result<Xattr<'a>, RafsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.body.len() as u64 {
            return None;
        }
        let next = self.read_next();
        if next.is_err() {
            self.at = u64::MAX;
        }
        Some(next)
    }
}
