//! Where a member belongs, and which ones are refused.

use tree::{Layer, Name, NameError, Path, PathError, ResolveError, Resolved};

use crate::limits::{AbsolutePaths, Options, ThroughSymlinks};

/// Longer paths and link targets no kernel takes: `PATH_MAX` of Linux, which counts the NUL.
pub const MAX_PATH: usize = 4095;

/// What names a whiteout (OCI image-spec, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// What AUFS kept for itself.
const AUFS: &[u8] = b".wh..wh.";
/// An opaque directory's mark.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why a member is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An absolute path.
    #[error("the path is absolute")]
    Absolute,
    /// `..`, or something that is no name.
    #[error(transparent)]
    Path(#[from] PathError),
    /// More than 4095 bytes.
    #[error("the path has more than 4095 bytes")]
    TooLong,
    /// A hard link to something that is absolute, has `..` in it or is too long.
    #[error("the hard link's target cannot be in the layer: {0}")]
    LinkTarget(Box<Refusal>),
    /// The way leads through a symbolic link that the same layer made.
    #[error("the path leads through a symbolic link of the same layer")]
    ThroughSymlink,
    /// A symbolic link on the way cannot be followed.
    #[error("the path cannot be followed: {0}")]
    Resolve(#[from] ResolveError),
    /// A whiteout of nothing, or of what is no name.
    #[error("a whiteout of what is no name: {0}")]
    Whiteout(NameError),
    /// A directory on the way has a whiteout's name.
    #[error("a directory has the name of a whiteout")]
    InWhiteout,
    /// The root, as something that is no directory.
    #[error("the layer's root is no directory")]
    Root,
    /// A symbolic link without a target, with a NUL in it, or with one that is too long.
    #[error("the symbolic link's target is no path")]
    Target,
    /// An extended attribute with a name or value that Linux does not take.
    #[error("the extended attribute {0} has a name or a value that cannot be")]
    Xattr(String),
    /// The layer's tree does not take it.
    #[error(transparent)]
    Layer(#[from] tree::LayerError),
}

/// Where a member belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There.
    At(Path),
    /// Hide what lower layers have there.
    Whiteout(Path),
    /// Hide all that lower layers have in there.
    Opaque(Path),
    /// Nowhere: AUFS's own.
    Nowhere,
}

/// Where a member with that path belongs in `layer`.
pub(crate) fn place<C>(
    layer: &Layer<C>,
    bytes: &[u8],
    options: &Options,
) -> Result<Place, Refusal> {
    let path = parse(bytes, options)?;
    let Some((parent, name)) = path.split() else { return Ok(Place::At(path)) };
    let hidden = parent.names().find(|name| name.starts_with(WHITEOUT));
    if let Some(hidden) = hidden {
        let aufs = hidden.starts_with(AUFS) && hidden != OPAQUE;
        return if aufs { Ok(Place::Nowhere) } else { Err(Refusal::InWhiteout) };
    }
    let parent = followed(layer, parent, options)?;
    Ok(match name.as_bytes() {
        OPAQUE => Place::Opaque(parent),
        bytes if bytes.starts_with(AUFS) => Place::Nowhere,
        bytes => match bytes.strip_prefix(WHITEOUT) {
            Some(hidden) => {
                Place::Whiteout(parent.join(&Name::new(hidden).map_err(Refusal::Whiteout)?))
            }
            None => Place::At(parent.join(&name)),
        },
    })
}

/// The file that a hard link to `bytes` shares.
pub(crate) fn link_target<C>(
    layer: &Layer<C>,
    bytes: &[u8],
    options: &Options,
) -> Result<Path, Refusal> {
    let target = || {
        let (parent, name) = parse(bytes, options)?.split().ok_or(Refusal::Root)?;
        Ok(followed(layer, parent, options)?.join(&name))
    };
    target().map_err(|why| Refusal::LinkTarget(Box::new(why)))
}

/// A symbolic link's target: any bytes that can be one, because nobody follows it here.
pub(crate) fn symlink_target(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let fine = (1..=MAX_PATH).contains(&bytes.len()) && !bytes.contains(&0);
    if fine { Ok(bytes) } else { Err(Refusal::Target) }
}

fn parse(bytes: &[u8], options: &Options) -> Result<Path, Refusal> {
    // umoci writes the root itself as `/`; nothing else is reached by it.
    let absolute = bytes.first() == Some(&b'/') && bytes != b"/";
    if absolute && options.absolute_paths == AbsolutePaths::Refuse {
        return Err(Refusal::Absolute);
    }
    if bytes.len() > MAX_PATH {
        return Err(Refusal::TooLong);
    }
    Ok(Path::parse(bytes)?)
}

/// The directory at `path` where no symbolic link of the layer is on the way any more.
fn followed<C>(layer: &Layer<C>, path: Path, options: &Options) -> Result<Path, Refusal> {
    let Resolved { directory, missing, links } = match layer.tree().resolve(&path) {
        Ok(resolved) => resolved,
        // The layer says better what is in the way.
        Err(ResolveError::NotADirectory) if !has_symlink(layer, &path) => return Ok(path),
        Err(_) if options.through_symlinks == ThroughSymlinks::Refuse => {
            return Err(Refusal::ThroughSymlink);
        }
        Err(error) => return Err(error.into()),
    };
    if links == 0 {
        return Ok(path);
    }
    if options.through_symlinks == ThroughSymlinks::Refuse {
        return Err(Refusal::ThroughSymlink);
    }
    let to = layer.tree().path_of(directory).unwrap_or_default();
    let to = missing.iter().fold(to, |to, name| to.join(name));
    if to.as_bytes().len() > MAX_PATH { Err(Refusal::TooLong) } else { Ok(to) }
}

/// Whether a symbolic link is on the way.
fn has_symlink<C>(layer: &Layer<C>, path: &Path) -> bool {
    let mut prefix = Path::root();
    path.names().any(|name| {
        let Ok(name) = Name::new(name) else { return false };
        prefix = prefix.join(&name);
        let id = layer.tree().lookup(&prefix);
        id.and_then(|id| layer.tree().get(id))
            .is_some_and(|inode| matches!(inode.kind(), tree::Kind::Symlink(_)))
    })
}
