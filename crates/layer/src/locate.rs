//! Where a member has data: the maps of sparse files, wherever a tar has them.

use std::io::Read;

use crate::data::Extent;
use crate::error::{TarError, printable};
use crate::header::{BLOCK, Header};
use crate::member::{Member, MemberKind};
use crate::pax::Pax;
use crate::sparse;
use crate::tar::{TarReader, padding};

impl<R: Read> TarReader<R> {
    /// Finds out where the member has data, and leaves the reader before its first byte.
    pub(crate) fn locate(
        &mut self,
        header: &Header,
        pax: &Pax,
        member: &mut Member,
        stored: u64,
    ) -> Result<(), TarError> {
        let bad = |member: &Member| TarError::SparseMap(printable(&member.path));
        let old = header.kind() == b'S';
        let new = pax.sparse.is_sparse();
        if member.kind != MemberKind::File && (stored != 0 || new) {
            return Err(TarError::DataAfterNoFile(printable(&member.path)));
        }
        // The stored bytes begin after what is read of the map here.
        (self.unread, self.padding) = (stored, padding(stored));
        let (extents, size) = match (old, new) {
            (false, false) => (vec![Extent { offset: 0, length: stored }], Some(stored)),
            (true, false) => self.old_map(header).map_err(|e| e.unwrap_or_else(|| bad(member)))?,
            (false, true) => {
                let map = match (pax.sparse.version, &pax.sparse.map) {
                    ((Some(1), Some(0)), None) => self.map_before_data()?,
                    ((None | Some(0), _), Some(map)) => Some(map.clone()),
                    _ => None,
                };
                (map.ok_or_else(|| bad(member))?, pax.sparse.size)
            }
            (true, true) => return Err(bad(member)),
        };
        member.size = size.ok_or_else(|| bad(member))?;
        member.extents = extents;
        if sparse::fits(&member.extents, member.size, self.unread) {
            Ok(())
        } else {
            Err(bad(member))
        }
    }

    /// The map in a GNU header, and in the blocks after it.
    fn old_map(&mut self, header: &Header) -> Result<(Vec<Extent>, Option<u64>), Option<TarError>> {
        let (fields, mut more, size) = header.sparse();
        let mut extents = sparse::parse_fields(fields).ok_or(None)?;
        while more {
            let block = self.block().map_err(Some)?.ok_or(TarError::Truncated(self.offset))?;
            let (fields, rest) = block.split_at(504);
            extents.extend(sparse::parse_fields(fields).ok_or(None)?);
            more = rest.first() != Some(&0);
            if extents.len() > sparse::MAX_EXTENTS {
                return Err(None);
            }
        }
        Ok((extents, size))
    }

    /// The map before the data, in blocks that count as stored.
    fn map_before_data(&mut self) -> Result<Option<Vec<Extent>>, TarError> {
        let mut lines = sparse::Lines::default();
        while let Some(left) = self.unread.checked_sub(BLOCK as u64) {
            let block = self.block()?.ok_or(TarError::Truncated(self.offset))?;
            self.unread = left;
            for byte in block {
                match lines.take(byte) {
                    None => return Ok(None),
                    Some(None) => {}
                    Some(map) => return Ok(map),
                }
            }
        }
        Ok(None)
    }
}
