//! Generated layers over generated layers, against what umoci unpacks.

mod common;
#[path = "common/umoci.rs"]
mod umoci;

use std::cell::Cell;
use std::collections::BTreeMap;

use common::{Content, Listing, assert_same, is_root, list_tree, read};
use layer::{Member, MemberKind, TarWriter};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tree::{Meta, Mode, Path, Time, Tree};

#[derive(Clone, Debug)]
enum What {
    Dir,
    File(u8),
    Symlink(String),
    Link(String),
    Whiteout,
    Opaque,
}

fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]", 1..4).prop_map(|names| names.join("/"))
}

fn whats() -> impl Strategy<Value = What> {
    prop_oneof![
        8 => Just(What::Dir),
        6 => any::<u8>().prop_map(What::File),
        2 => prop_oneof![paths(), paths().prop_map(|p| format!("/{p}")), Just("../a".to_owned())]
            .prop_map(What::Symlink),
        1 => paths().prop_map(What::Link),
        2 => Just(What::Whiteout),
        1 => Just(What::Opaque),
    ]
}

/// A layer as its writers order it: what it hides before what it has, directories before what is
/// in them, each path once, hard links last.
fn layers() -> impl Strategy<Value = Vec<(String, What)>> {
    prop::collection::btree_map(paths(), whats(), 0..8).prop_map(|members: BTreeMap<_, _>| {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_key(|(path, what)| match what {
            What::Whiteout | What::Opaque => (0, path.clone()),
            What::Link(_) => (2, path.clone()),
            _ => (1, path.clone()),
        });
        members
    })
}

fn tar(layer: &[(String, What)], number: i64) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (index, (path, what)) in layer.iter().enumerate() {
        let index = i64::try_from(index).expect("few");
        let meta = Meta {
            mode: Mode::new(0o700),
            uid: 5,
            gid: 6,
            mtime: Time::new(1_000_000 + 100 * number + index, 7).expect("in range"),
            ..Meta::default()
        };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let slash = if parent.is_empty() { "" } else { "/" };
        let (path, kind, link, content) = match what {
            What::Dir => (path.clone(), MemberKind::Directory, String::new(), None),
            What::File(content) => (path.clone(), MemberKind::File, String::new(), Some(*content)),
            What::Symlink(to) => (path.clone(), MemberKind::Symlink, to.clone(), None),
            What::Link(to) => (path.clone(), MemberKind::HardLink, to.clone(), None),
            What::Whiteout => {
                (format!("{parent}{slash}.wh.{name}"), MemberKind::File, String::new(), None)
            }
            What::Opaque => (format!("{path}/.wh..wh..opq"), MemberKind::File, String::new(), None),
        };
        let content: Vec<u8> = content.into_iter().collect();
        let size = content.len() as u64;
        let (path, link) = (path.into_bytes(), link.into_bytes());
        let member = Member { path, kind, link, meta, size, extents: Vec::new() };
        tar.append(&member, |out| out.write_all(&content)).expect("to memory");
    }
    tar.finish().expect("to memory")
}

/// Where the layer's members come to lie over `below`; and whether a lower symbolic link led there.
fn canonical(below: &Tree<Content>, layer: &[(String, What)]) -> Option<Vec<(Path, bool)>> {
    let one = |(path, _): &(String, What)| {
        let (parent, name) = Path::parse(path.as_bytes()).ok()?.split()?;
        let found = below.resolve(&parent).ok()?;
        let at =
            found.missing.iter().fold(below.path_of(found.directory)?, |at, name| at.join(name));
        Some((at.join(&name), found.links > 0))
    };
    layer.iter().map(one).collect()
}

/// Whether the layer has one place by two ways, once behind a lower symbolic link: which of the two
/// counts hangs on their order in the tar, and a layer does not know that. Nobody writes such layers.
fn is_ambiguous(places: &[(Path, bool)]) -> bool {
    let inside = |inner: &Path, outer: &Path| inner.names().zip(outer.names()).all(|(a, b)| a == b);
    places.iter().enumerate().filter(|(_, (_, behind))| *behind).any(|(index, (path, _))| {
        let others = places.iter().enumerate().filter(|(other, _)| *other != index);
        others.into_iter().any(|(_, (other, _))| inside(path, other))
    })
}

enum Ours {
    Refused,
    Ambiguous,
    Stacked(Listing),
}

fn ours(layers: &[Vec<(String, What)>], tars: &[Vec<u8>]) -> Ours {
    let mut tree: Tree<Content> = Tree::default();
    for (layer, tar) in layers.iter().zip(tars) {
        if canonical(&tree, layer).is_some_and(|places| is_ambiguous(&places)) {
            return Ours::Ambiguous;
        }
        let Some(next) = read(tar).ok().and_then(|layer| tree::stack(tree, layer).ok()) else {
            return Ours::Refused;
        };
        tree = next;
    }
    Ours::Stacked(list_tree(&tree))
}

#[test]
fn stacked_layers_are_what_umoci_unpacks() {
    if !is_root("stacked_layers_are_what_umoci_unpacks") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let counts = Cell::new([0_u32; 3]);
    let count = |which: usize| {
        let mut now = counts.get();
        now[which] += 1;
        counts.set(now);
    };
    let config = Config { failure_persistence: None, ..Config::with_cases(300) };
    TestRunner::new(config)
        .run(&prop::collection::vec(layers(), 1..4), |layers| {
            let tars: Vec<Vec<u8>> =
                layers.iter().zip(1..).map(|(layer, number)| tar(layer, number)).collect();
            match (ours(&layers, &tars), umoci::unpack(scratch.path(), &tars)) {
                (Ours::Stacked(ours), Some(theirs)) => {
                    count(0);
                    assert_same(&ours, &theirs, &format!("{layers:?}"));
                }
                (Ours::Refused, None) => count(1),
                (Ours::Refused, Some(_)) => count(2),
                // A hard link to what its own layer hides, for one.
                (Ours::Stacked(_), None) | (Ours::Ambiguous, _) => {}
            }
            Ok(())
        })
        .expect("the same tree");
    let [compared, both_refused, only_umoci] = counts.get();
    println!("{compared} compared, {both_refused} refused by both, {only_umoci} by us");
    assert!(compared >= 60, "too few fitted: {compared}");
}
