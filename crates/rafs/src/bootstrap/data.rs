//! The data of directories and links: blocks in the bootstrap.

use crate::error::RafsError;
use crate::ondisk::BLOCK;
use crate::slice::part;

use super::inode::{Inode, Layout};

/// Block `number` of an inode's data; the last one may be shorter.
///
/// The last block of an inline inode follows it, and never crosses a boundary of blocks: the
/// kernel refuses that too.
pub(crate) fn block<'a>(
    bytes: &'a [u8],
    inode: &Inode,
    number: u64,
) -> Result<&'a [u8], RafsError> {
    let bad = |why| RafsError::corrupt("inode's data", inode.tail_at(), why);
    let before = number.checked_mul(BLOCK).ok_or_else(|| bad("it has too many blocks"))?;
    let length = inode.size.checked_sub(before).map_or(0, |rest| rest.min(BLOCK));
    if length == 0 {
        return Err(bad("there is no such block"));
    }
    let last = number.checked_add(1) == Some(inode.blocks());
    let at = match inode.layout {
        Layout::Inline if last => {
            let at = inode.tail_at();
            if at % BLOCK + length > BLOCK {
                return Err(bad("it crosses the boundary of a block"));
            }
            at
        }
        Layout::Plain | Layout::Inline => (u64::from(inode.union) * BLOCK)
            .checked_add(before)
            .ok_or_else(|| bad("it lies too far"))?,
        Layout::Chunks => return Err(bad("it lies in chunks")),
    };
    part(bytes, at, length, "inode's data")
}
