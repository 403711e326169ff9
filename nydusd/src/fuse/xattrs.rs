//! Extended attributes, as the kernel asks for them.

use fuser::{Errno, ReplyXattr};
use rafs::Bootstrap;
use rafs::bootstrap::Inode;
use rafs::ondisk::inode::XATTR_PREFIXES;

use super::tree::wrong;

/// The value of the attribute `name` of `inode`.
pub(super) fn value<B: AsRef<[u8]>>(
    bootstrap: &Bootstrap<B>,
    inode: &Inode,
    name: &[u8],
) -> Result<Vec<u8>, Errno> {
    for xattr in bootstrap.xattrs(inode).map_err(wrong)? {
        let xattr = xattr.map_err(wrong)?;
        if *xattr.name == *name {
            return Ok(xattr.value.to_vec());
        }
    }
    // As file systems on disks say: there is no such attribute, or there could be none.
    let known = XATTR_PREFIXES.iter().any(|(_, prefix)| name.starts_with(prefix));
    Err(if known { Errno::ENODATA } else { Errno::EOPNOTSUPP })
}

/// The names of all attributes of `inode`, each with a NUL behind it.
pub(super) fn names<B: AsRef<[u8]>>(
    bootstrap: &Bootstrap<B>,
    inode: &Inode,
) -> Result<Vec<u8>, Errno> {
    let mut names = Vec::new();
    for xattr in bootstrap.xattrs(inode).map_err(wrong)? {
        names.extend_from_slice(&xattr.map_err(wrong)?.name);
        names.push(0);
    }
    Ok(names)
}

/// Answers with a value, or with how long it is if that is all that is asked.
pub(super) fn answer(value: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match value {
        // A value has at most 64 KiB, names together what a block can hold.
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() <= size as usize => reply.data(&value),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(errno) => reply.error(errno),
    }
}
