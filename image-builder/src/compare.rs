//! Two trees, entry by entry.

use std::collections::HashMap;
use std::fmt;

use tree::{Inode, InodeId, Kind, Name, Path, Tree};

/// How one name differs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Aspect {
    /// A file here, a directory there.
    Kind,
    /// Permissions.
    Mode,
    /// User or group.
    Owner,
    /// Time of last change.
    Time,
    /// Extended attributes.
    Xattrs,
    /// A file's bytes.
    Content,
    /// Where a symbolic link points.
    Target,
    /// A device's number.
    Device,
    /// Which names are hard links of one file.
    Links,
}

impl Aspect {
    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Time => "time",
            Self::Xattrs => "xattrs",
            Self::Content => "content",
            Self::Target => "target",
            Self::Device => "device",
            Self::Links => "links",
        }
    }
}

/// What became of one name from the first tree to the second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Only the first has it. A directory is told once for all that is in it.
    Removed,
    /// Only the second has it. A directory is told once for all that is in it.
    Added,
    /// Both have it, and these aspects differ.
    Changed(Vec<Aspect>),
}

/// One name that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where.
    pub path: Path,
    /// What became of it.
    pub change: Change,
}

impl fmt::Display for Difference {
    /// `-` only in the first, `+` only in the second, `~` in both, and what differs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            Change::Removed => write!(f, "- {}", self.path),
            Change::Added => write!(f, "+ {}", self.path),
            Change::Changed(aspects) => {
                let words: Vec<_> = aspects.iter().map(|aspect| aspect.word()).collect();
                write!(f, "~ {} ({})", self.path, words.join(", "))
            }
        }
    }
}

/// How two trees are looked at.
pub trait Judge<A, B> {
    /// Whether two regular files have the same bytes.
    fn same_content(&mut self, a: &A, b: &B) -> bool;

    /// Whether two directories are known to be the same with all that is in them.
    fn same_subtree(&mut self, a: InodeId, b: InodeId) -> bool {
        let _ = (a, b);
        false
    }
}

/// All differences from `a` to `b`, by path.
pub fn compare<A, B>(a: &Tree<A>, b: &Tree<B>, judge: &mut impl Judge<A, B>) -> Vec<Difference> {
    let mut walk = Walk { a: Side::new(a), b: Side::new(b), judge, found: Vec::new() };
    let mut pending = vec![(Path::root(), InodeId::ROOT, InodeId::ROOT)];
    while let Some((path, a, b)) = pending.pop() {
        if walk.judge.same_subtree(a, b) {
            continue;
        }
        if path.is_root() {
            walk.both(&path, a, b);
        }
        walk.entries(&path, a, b, &mut pending);
    }
    walk.found.sort_by(|x, y| x.path.cmp(&y.path));
    walk.found
}

/// A tree, and the first name of each of its hard-linked files.
struct Side<'a, C> {
    tree: &'a Tree<C>,
    first: HashMap<InodeId, Path>,
}

impl<'a, C> Side<'a, C> {
    fn new(tree: &'a Tree<C>) -> Self {
        let mut first = HashMap::new();
        let mut walk = tree.walk();
        while let Some(visit) = walk.next() {
            if visit.inode.links() > 1 {
                first.entry(visit.id).or_insert_with(|| walk.path());
            }
        }
        Self { tree, first }
    }
}

struct Walk<'a, A, B, J> {
    a: Side<'a, A>,
    b: Side<'a, B>,
    judge: &'a mut J,
    found: Vec<Difference>,
}

impl<A, B, J: Judge<A, B>> Walk<'_, A, B, J> {
    /// Two directories' entries against each other.
    fn entries(
        &mut self,
        path: &Path,
        a: InodeId,
        b: InodeId,
        pending: &mut Vec<(Path, InodeId, InodeId)>,
    ) {
        let (Some(left), Some(right)) = (self.a.tree.directory(a), self.b.tree.directory(b)) else {
            return;
        };
        for (name, here) in left {
            match right.get(name.as_bytes()) {
                None => self.tell(path, name, Change::Removed),
                Some(there) => {
                    let path = path.join(name);
                    if self.both(&path, *here, there) {
                        pending.push((path, *here, there));
                    }
                }
            }
        }
        for (name, _) in right {
            if left.get(name.as_bytes()).is_none() {
                self.tell(path, name, Change::Added);
            }
        }
    }

    fn tell(&mut self, parent: &Path, name: &Name, change: Change) {
        self.found.push(Difference { path: parent.join(name), change });
    }

    /// One name that both have; whether both are directories.
    fn both(&mut self, path: &Path, a: InodeId, b: InodeId) -> bool {
        let (Some(left), Some(right)) = (self.a.tree.get(a), self.b.tree.get(b)) else {
            return false;
        };
        let mut aspects = self.aspects(left, right);
        if self.a.first.get(&a) != self.b.first.get(&b) {
            aspects.push(Aspect::Links);
        }
        if !aspects.is_empty() {
            let change = Change::Changed(aspects);
            self.found.push(Difference { path: path.clone(), change });
        }
        left.is_directory() && right.is_directory()
    }

    fn aspects(&mut self, a: &Inode<A>, b: &Inode<B>) -> Vec<Aspect> {
        let mut aspects = Vec::new();
        let mut unless = |same: bool, aspect| {
            if !same {
                aspects.push(aspect);
            }
        };
        let judge = &mut *self.judge;
        match (a.kind(), b.kind()) {
            (Kind::File(a), Kind::File(b)) => unless(judge.same_content(a, b), Aspect::Content),
            (Kind::Symlink(a), Kind::Symlink(b)) => unless(a == b, Aspect::Target),
            (Kind::CharDevice(a), Kind::CharDevice(b))
            | (Kind::BlockDevice(a), Kind::BlockDevice(b)) => unless(a == b, Aspect::Device),
            (Kind::Directory(_), Kind::Directory(_))
            | (Kind::Fifo, Kind::Fifo)
            | (Kind::Socket, Kind::Socket) => {}
            _ => unless(false, Aspect::Kind),
        }
        let (a, b) = (&a.meta, &b.meta);
        unless(a.mode == b.mode, Aspect::Mode);
        unless((a.uid, a.gid) == (b.uid, b.gid), Aspect::Owner);
        unless(a.mtime == b.mtime, Aspect::Time);
        unless(a.xattrs == b.xattrs, Aspect::Xattrs);
        aspects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Meta, Mode};

    struct Plain;

    impl Judge<u8, u8> for Plain {
        fn same_content(&mut self, a: &u8, b: &u8) -> bool {
            a == b
        }
    }

    fn path(path: &str) -> Path {
        Path::parse(path.as_bytes()).unwrap()
    }

    fn put(tree: &mut Tree<u8>, at: &str, inode: Inode<u8>) -> InodeId {
        tree.insert_at(&path(at), inode).unwrap()
    }

    fn sample() -> Tree<u8> {
        let mut tree = Tree::default();
        let id = put(&mut tree, "a/one", Inode::file(Meta::default(), 1));
        let parent = tree.lookup(&path("a")).unwrap();
        tree.link(parent, Name::new(b"same").unwrap(), id).unwrap();
        put(&mut tree, "b/link", Inode::symlink(Meta::default(), b"x"));
        put(&mut tree, "c", Inode::fifo(Meta::default()));
        tree
    }

    fn told(a: &Tree<u8>, b: &Tree<u8>) -> Vec<String> {
        compare(a, b, &mut Plain).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tree_is_itself() {
        assert_eq!(told(&sample(), &sample()), Vec::<String>::new());
    }

    #[test]
    fn every_aspect_is_told() {
        let mut b = sample();
        put(&mut b, "b/link", Inode::symlink(Meta::default(), b"y"));
        put(&mut b, "c", Inode::socket(Meta { uid: 7, ..Meta::default() }));
        put(&mut b, "d/in/it", Inode::fifo(Meta::default()));
        // Content like the linked one's, and not linked.
        put(&mut b, "a/same", Inode::file(Meta::default(), 1));
        let root = Meta { mode: Mode::new(0o700), ..Meta::implied() };
        put(&mut b, "", Inode::directory(root));
        let forth = ["~ / (mode)", "~ /a/one (links)", "~ /a/same (links)", "~ /b/link (target)"];
        let both = ["~ /c (kind, owner)"];
        assert_eq!(told(&sample(), &b), [&forth[..], &both, &["+ /d"]].concat());
        assert_eq!(told(&b, &sample()), [&forth[..], &both, &["- /d"]].concat());
    }

    #[test]
    fn content_is_asked_of_the_judge() {
        let mut b = sample();
        let id = b.lookup(&path("a/one")).unwrap();
        *b.get_mut(id).unwrap().content_mut().unwrap() = 2;
        assert_eq!(told(&sample(), &b), ["~ /a/one (content)", "~ /a/same (content)"]);
    }
}
