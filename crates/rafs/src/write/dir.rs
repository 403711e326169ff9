//! A directory's blocks.

use tree::{Directory, InodeId};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U64};

use crate::bootstrap::FileType;
use crate::image::{Image, file_type};
use crate::ondisk::BLOCK;
use crate::ondisk::inode::Dirent;

/// One entry to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) id: InodeId,
    pub(crate) file_type: FileType,
}

/// How many bytes an entry takes with its name.
const fn room(name: &[u8]) -> usize {
    size_of::<Dirent>() + name.len()
}

/// All entries of a directory, sorted; `.` and `..` are sorted like others, and not always first.
pub(crate) fn entries<'a>(
    image: &'a Image,
    id: InodeId,
    directory: &'a Directory,
) -> Vec<Entry<'a>> {
    let mut entries = Vec::with_capacity(directory.len() + 2);
    entries.extend(directory.iter().filter_map(|(name, id)| {
        let file_type = file_type(image.tree.get(*id)?);
        Some(Entry { name: name.as_bytes(), id: *id, file_type })
    }));
    for (name, id) in [(&b"."[..], id), (b"..", directory.parent())] {
        let at = entries.partition_point(|entry| entry.name < name);
        entries.insert(at, Entry { name, id, file_type: FileType::Directory });
    }
    entries
}

/// The entries of each block: as many as fit.
pub(crate) fn blocks<'a, 'b>(entries: &'b [Entry<'a>]) -> impl Iterator<Item = &'b [Entry<'a>]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut left = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let fits = |entry: &&Entry<'_>| match left.checked_sub(room(entry.name)) {
            Some(less) => {
                left = less;
                true
            }
            None => false,
        };
        // A name has at most 255 bytes, so at least one fits.
        let (block, after) = rest.split_at(rest.iter().take_while(fits).count());
        rest = after;
        (!block.is_empty()).then_some(block)
    })
}

/// How long a directory with these entries is: whole blocks and what the last one holds.
pub(crate) fn size(entries: &[Entry<'_>]) -> u64 {
    let mut size = 0;
    for (number, block) in (0_u64..).zip(blocks(entries)) {
        size = number * BLOCK + length(block);
    }
    size
}

fn length(block: &[Entry<'_>]) -> u64 {
    block.iter().map(|entry| room(entry.name) as u64).sum()
}

/// One block's bytes, without what pads it.
pub(crate) fn encode(block: &[Entry<'_>], nid: impl Fn(InodeId) -> u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(usize::try_from(length(block)).unwrap_or(0));
    let mut name_at = size_of::<Dirent>() * block.len();
    for entry in block {
        let dirent = Dirent {
            nid: U64::new(nid(entry.id)),
            // Within a block of 4096.
            name_at: U16::new(u16::try_from(name_at).unwrap_or(0)),
            file_type: entry.file_type.dirent(),
            reserved: 0,
        };
        bytes.extend_from_slice(dirent.as_bytes());
        name_at += entry.name.len();
    }
    for entry in block {
        bytes.extend_from_slice(entry.name);
    }
    bytes
}
