//! All of it together: a layer's bytes in, its tree out.

use std::io::Read;

use tree::{Inode, Layer};

use crate::data::FileData;
use crate::error::{TarError, printable};
use crate::limits::{Limits, Options};
use crate::member::{Member, MemberKind};
use crate::place::{self, Place, Refusal};
use crate::tar::TarReader;
use crate::unpack::Unpacker;

/// Why a layer was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// It is no tar, or one that contradicts itself.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A member is refused.
    #[error("{path}: {why}")]
    Refused {
        /// The member's path, escaped.
        path: String,
        /// Why.
        why: Refusal,
    },
    /// Whoever takes the files' contents failed.
    #[error("{path}: {error}")]
    Content {
        /// The file's path, escaped.
        path: String,
        /// What it said.
        error: E,
    },
}

/// Reads a layer, compressed or not. `on_file` takes each regular file's data as it comes by, and
/// says what its content is to be.
///
/// Of a file that comes twice, both are taken, and the last counts.
///
/// # Errors
/// If the layer is refused, or `on_file` fails.
pub fn read_layer<C, E>(
    input: impl Read,
    options: &Options,
    mut on_file: impl FnMut(&Member, &mut FileData<'_>) -> Result<C, E>,
) -> Result<Layer<C>, ReadError<E>> {
    let input = Unpacker::new(input, options.limits).map_err(TarError::from_io)?;
    let mut tar = TarReader::new(input, options.limits);
    let mut layer = Layer::new();
    while let Some(member) = tar.next_member()? {
        let content = |member: &Member| {
            let taken = on_file(member, &mut tar.data(member));
            taken.map_err(|error| ReadError::Content { path: printable(&member.path), error })
        };
        apply(&mut layer, member, options, content)?;
        check_size(&layer, &options.limits)?;
    }
    Ok(layer)
}

/// Puts one member into the layer.
fn apply<C, E>(
    layer: &mut Layer<C>,
    member: Member,
    options: &Options,
    content: impl FnOnce(&Member) -> Result<C, ReadError<E>>,
) -> Result<(), ReadError<E>> {
    let shown = printable(&member.path);
    let refused = |why: Refusal| ReadError::Refused { path: shown.clone(), why };
    let path = match place::place(layer, &member.path, options).map_err(refused)? {
        Place::Nowhere => return Ok(()),
        Place::Whiteout(path) => {
            return layer.whiteout(&path).map_err(|why| refused(why.into()));
        }
        Place::Opaque(path) => {
            return layer.hide_all_in(&path).map_err(|why| refused(why.into()));
        }
        Place::At(path) => path,
    };
    if path.is_root() && member.kind != MemberKind::Directory {
        return Err(refused(Refusal::Root));
    }
    if member.kind == MemberKind::HardLink {
        let target = place::link_target(layer, &member.link, options).map_err(refused)?;
        return layer.link(&path, &target).map_err(|why| refused(why.into()));
    }
    check_xattrs(&member).map_err(refused)?;
    let inode = match member.kind {
        MemberKind::File => {
            let content = content(&member)?;
            Inode::file(member.meta, content)
        }
        MemberKind::Symlink => {
            let target = place::symlink_target(&member.link).map_err(refused)?;
            Inode::symlink(member.meta, target)
        }
        MemberKind::CharDevice(device) => Inode::char_device(member.meta, device),
        MemberKind::BlockDevice(device) => Inode::block_device(member.meta, device),
        MemberKind::Fifo => Inode::fifo(member.meta),
        MemberKind::Directory | MemberKind::HardLink => Inode::directory(member.meta),
    };
    layer.insert(&path, inode).map_err(|why| refused(why.into()))?;
    Ok(())
}

/// Names of at most 255 bytes and values of at most 64 KiB: `XATTR_NAME_MAX` and `XATTR_SIZE_MAX`
/// of Linux.
fn check_xattrs(member: &Member) -> Result<(), Refusal> {
    let bad = member.meta.xattrs.iter().find(|(name, value)| {
        !(1..=255).contains(&name.len()) || name.contains(&0) || value.len() > 64 << 10
    });
    bad.map_or(Ok(()), |(name, _)| Err(Refusal::Xattr(printable(name))))
}

/// One path can imply thousands of directories.
fn check_size<C>(layer: &Layer<C>, limits: &Limits) -> Result<(), TarError> {
    if layer.tree().slots() as u64 > limits.entries {
        return Err(TarError::TooMany("files"));
    }
    Ok(())
}
