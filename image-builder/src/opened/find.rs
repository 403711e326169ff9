//! What a path names in a tree, with symbolic links followed or not: always inside the tree.

use tree::resolve::MAX_LINKS;
use tree::{InodeId, Kind, Path, PathError, ResolveError, Tree};

/// Whether a symbolic link at the path's end is followed. Those on the way are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is, as `cat` does.
    Yes,
    /// It is what is meant, as `lstat` does.
    No,
}

/// Why nothing is found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is nothing.
    #[error("{0}: there is no such file in the image")]
    Missing(Path),
    /// The path is none.
    #[error("the path cannot be in an image")]
    Path(#[from] PathError),
    /// A symbolic link cannot be followed.
    #[error("{path} cannot be followed")]
    Resolve {
        /// Where.
        path: Path,
        /// Why not.
        #[source]
        why: ResolveError,
    },
}

/// What `path` names, from the root, with or without a `/` in front.
///
/// # Errors
/// If it names nothing.
pub fn find<C>(tree: &Tree<C>, path: &[u8], follow: Follow) -> Result<InodeId, FindError> {
    let clean = Path::parse(path)?;
    let missing = || FindError::Missing(clean.clone());
    let unresolved = |why| FindError::Resolve { path: clean.clone(), why };
    let mut from = InodeId::ROOT;
    let mut rest = clean.as_bytes();
    for _ in 0..=MAX_LINKS {
        let (parent, last) = split(rest);
        let parent = tree.resolve_from(from, parent).map_err(unresolved)?;
        if !parent.missing.is_empty() {
            return Err(missing());
        }
        from = parent.directory;
        if matches!(last, b"" | b"." | b"..") {
            return Ok(tree.resolve_from(from, last).map_err(unresolved)?.directory);
        }
        let id = tree.directory(from).and_then(|here| here.get(last)).ok_or_else(missing)?;
        match tree.get(id).map(tree::Inode::kind) {
            Some(Kind::Symlink(target)) if follow == Follow::Yes => rest = target,
            _ => return Ok(id),
        }
    }
    Err(unresolved(ResolveError::TooManyLinks))
}

/// A path's last part, and what is before it, with a slash if it begins with one.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at.saturating_add(1));
    let path_end = path.get(..end).filter(|path| !path.is_empty());
    // Of slashes alone the root is left.
    let Some(path) = path_end else { return (path, b"") };
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => path.split_at_checked(slash.saturating_add(1)).unwrap_or((path, b"")),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Inode, Meta};

    fn tree() -> Tree<()> {
        let mut tree = Tree::default();
        let mut put = |path: &str, inode| {
            tree.insert_at(&Path::parse(path.as_bytes()).unwrap(), inode).unwrap();
        };
        put("usr/bin/tool", Inode::file(Meta::default(), ()));
        put("bin", Inode::symlink(Meta::default(), b"usr/bin"));
        put("usr/bin/link", Inode::symlink(Meta::default(), b"/bin/../bin/tool"));
        put("usr/up", Inode::symlink(Meta::default(), b".."));
        put("loop", Inode::symlink(Meta::default(), b"loop"));
        put("out", Inode::symlink(Meta::default(), b"../../../usr"));
        put("slash", Inode::symlink(Meta::default(), b"/"));
        tree
    }

    #[test]
    fn links_are_followed_inside_the_tree() {
        let tree = tree();
        let at = |path: &str| tree.lookup(&Path::parse(path.as_bytes()).unwrap()).unwrap();
        let found = |path: &str| find(&tree, path.as_bytes(), Follow::Yes);
        assert_eq!(found("/bin/tool"), Ok(at("usr/bin/tool")));
        assert_eq!(found("bin/link"), Ok(at("usr/bin/tool")));
        assert_eq!(found("/usr/up"), Ok(InodeId::ROOT));
        assert_eq!(found("/out/bin"), Ok(at("usr/bin")));
        assert_eq!(found("slash"), Ok(InodeId::ROOT));
        assert_eq!(found(""), Ok(InodeId::ROOT));
        assert_eq!(found("/"), Ok(InodeId::ROOT));
        assert_eq!(find(&tree, b"bin/link", Follow::No), Ok(at("usr/bin/link")));
        assert!(matches!(found("loop"), Err(FindError::Resolve { .. })));
        assert!(matches!(found("usr/none"), Err(FindError::Missing(_))));
        assert!(matches!(found("usr/bin/tool/x"), Err(FindError::Resolve { .. })));
    }
}
