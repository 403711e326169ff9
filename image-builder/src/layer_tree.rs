//! One layer as a tree, so that it has a bootstrap of its own, and back.
//!
//! What a layer does to those under it is written as files, as OCI layers have it: `.wh.NAME` hides
//! a name, `.wh..wh..opq` all that lower layers have. Two things more are needed to stack layers as
//! they were ([`tree::Layer`]); they have names that AUFS kept for itself, which say nothing to
//! others: `.wh..wh.implied` marks a directory that the layer does not list, and the symbolic links
//! `.wh..wh.link.N` stand for hard links to files of lower layers, their target being `NAME/PATH`.
//!
//! Read, too, are whiteouts as overlayfs has them: character devices 0:0 and
//! `trusted.overlay.opaque`.

use std::collections::BTreeMap;

use rafs::Content;
use tree::{Device, Inode, InodeId, Kind, Layer, LayerError, Meta, Name, Path, Tree, TreeError};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS kept for itself.
const RESERVED: &[u8] = b".wh..wh.";
const IMPLIED: &[u8] = b".wh..wh.implied";
const LINK: &[u8] = b".wh..wh.link.";

/// Why a layer cannot be written as a tree: a name would be too long.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerTreeError {
    #[error(transparent)]
    Name(#[from] tree::NameError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The tree that says what `layer` does.
pub(crate) fn tree_of(layer: &Layer<Content>) -> Result<Tree<Content>, LayerTreeError> {
    let mut tree = layer.tree().clone();
    let directories = layer.tree().walk().filter(|visit| visit.inode.is_directory());
    for id in directories.map(|visit| visit.id) {
        let mut put = |name: &[u8], inode| -> Result<(), LayerTreeError> {
            tree.insert(id, Name::new(name)?, inode)?;
            Ok(())
        };
        for name in layer.whiteouts(id) {
            put(&[WHITEOUT, name.as_bytes()].concat(), mark())?;
        }
        if layer.is_opaque(id) {
            put(OPAQUE, mark())?;
        }
        if layer.implied(id).is_some() {
            put(IMPLIED, mark())?;
        }
        for (number, (name, path)) in layer.lower_links(id).enumerate() {
            let mut target = name.as_bytes().to_vec();
            path.names().for_each(|name| target.extend([b"/", name].concat()));
            let name = [LINK, number.to_string().as_bytes()].concat();
            put(&name, Inode::symlink(Meta::default(), &target))?;
        }
    }
    Ok(tree)
}

fn mark() -> Inode<Content> {
    Inode::file(Meta::default(), Content::default())
}

/// The layer that a tree says.
pub(crate) fn layer_of(tree: &Tree<Content>) -> Result<Layer<Content>, LayerError> {
    let mut layer = Layer::new();
    let mut first = BTreeMap::<InodeId, Path>::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let path = walk.path();
        if let Some((parent, name)) = path.split()
            && let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT)
        {
            said(&mut layer, &parent, &name, hidden, visit.inode)?;
            continue;
        }
        if *visit.inode.kind() == Kind::CharDevice(Device { major: 0, minor: 0 }) {
            layer.whiteout(&path)?;
            continue;
        }
        if let Some(first) = first.get(&visit.id) {
            layer.link(&path, first)?;
            continue;
        }
        if visit.inode.links() > 1 {
            first.insert(visit.id, path.clone());
        }
        if visit.inode.as_directory().is_some_and(|here| here.get(IMPLIED).is_some()) {
            continue;
        }
        let (inode, opaque) = fresh(visit.inode);
        layer.insert(&path, inode)?;
        if opaque {
            layer.hide_all_in(&path)?;
        }
    }
    Ok(layer)
}

/// What a file with the name of a whiteout says in the directory `parent`.
fn said(
    layer: &mut Layer<Content>,
    parent: &Path,
    name: &Name,
    hidden: &[u8],
    inode: &Inode<Content>,
) -> Result<(), LayerError> {
    let name = name.as_bytes();
    if name == OPAQUE {
        return layer.hide_all_in(parent);
    }
    if name.starts_with(LINK)
        && let Kind::Symlink(target) = inode.kind()
        && let Some((name, path)) = link(target)
    {
        return layer.link(&parent.join(&name), &path);
    }
    match Name::new(hidden) {
        Ok(hidden) if !name.starts_with(RESERVED) => layer.whiteout(&parent.join(&hidden)),
        // AUFS's own files say nothing.
        _ => Ok(()),
    }
}

/// The name and the lower layer's path that a link's mark says.
fn link(target: &[u8]) -> Option<(Name, Path)> {
    let slash = target.iter().position(|byte| *byte == b'/')?;
    let (name, path) = target.split_at(slash);
    Some((Name::new(name).ok()?, Path::parse(path.get(1..)?).ok()?))
}

/// The inode without its place, and whether overlayfs calls it opaque.
fn fresh(inode: &Inode<Content>) -> (Inode<Content>, bool) {
    let mut meta = inode.meta.clone();
    let opaque = meta.xattrs.remove(&b"trusted.overlay.opaque"[..]);
    let opaque = opaque.is_some_and(|value| value == b"y");
    let fresh = match inode.kind() {
        Kind::Directory(_) => Inode::directory(meta),
        Kind::File(content) => Inode::file(meta, content.clone()),
        Kind::Symlink(target) => Inode::symlink(meta, target),
        Kind::CharDevice(device) => Inode::char_device(meta, *device),
        Kind::BlockDevice(device) => Inode::block_device(meta, *device),
        Kind::Fifo => Inode::fifo(meta),
        Kind::Socket => Inode::socket(meta),
    };
    (fresh, opaque)
}
