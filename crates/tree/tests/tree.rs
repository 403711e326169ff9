//! Names, paths, and what a tree keeps true while it is changed.

mod common;

use common::{dir, file, listing, lower, path, symlink};
use tree::{
    Inode, InodeId, Layer, Meta, Mode, Name, NameError, Path, PathError, Time, Tree, TreeError,
};

#[test]
fn names_are_bytes_that_a_directory_can_hold() {
    for good in [&b"a"[..], b"...", b" ", b"\xff\xfe", b".wh.x", &[b'x'; 255]] {
        assert_eq!(Name::new(good).map(|name| name.as_bytes().to_vec()), Ok(good.to_vec()));
    }
    assert_eq!(Name::new(b""), Err(NameError::Empty));
    assert_eq!(Name::new(b"."), Err(NameError::Dots));
    assert_eq!(Name::new(b".."), Err(NameError::Dots));
    assert_eq!(Name::new(b"a/b"), Err(NameError::Forbidden));
    assert_eq!(Name::new(b"a\0"), Err(NameError::Forbidden));
    assert_eq!(Name::new(&[b'x'; 256]), Err(NameError::TooLong(256)));
}

#[test]
fn a_path_has_one_spelling() {
    for (spelt, is) in [("", ""), ("/", ""), ("./", ""), ("a", "a"), ("./a//b/./c/", "a/b/c")] {
        assert_eq!(path(spelt).as_bytes(), is.as_bytes());
    }
    for bad in ["..", "a/..", "../a", "a/../b"] {
        assert_eq!(Path::parse(bad.as_bytes()), Err(PathError::Parent), "{bad}");
    }
    assert_eq!(Path::parse(b"a/\0/b"), Err(PathError::Name(NameError::Forbidden)));
    assert_eq!(Path::root().split(), None);
    let (parent, name) = path("a/b/c").split().unwrap();
    assert_eq!((&parent, name.as_bytes()), (&path("a/b"), &b"c"[..]));
    assert_eq!(parent.join(&name), path("a/b/c"));
}

#[test]
fn paths_are_sorted_as_they_are_walked() {
    // As bytes, "a-b" comes before "a/b"; as a walk goes, what is in "a" comes first.
    let tree = lower(&[("a-b", file(1)), ("a/b", file(2)), ("a", dir()), ("B", file(3))]);
    let mut walk = tree.walk();
    let mut paths = Vec::new();
    while walk.next().is_some() {
        paths.push(walk.path());
    }
    assert_eq!(paths, ["", "B", "a", "a/b", "a-b"].map(path));
    assert!(paths.is_sorted());
}

#[test]
fn a_moment_has_less_than_a_second_of_nanoseconds() {
    assert!(Time::new(-1, 999_999_999).is_some());
    assert_eq!(Time::new(0, 1_000_000_000), None);
    assert_eq!(Mode::new(0o104_755).bits(), 0o4755);
}

#[test]
fn missing_parents_are_roots_and_open_to_all() {
    let tree = lower(&[("a/b/c", file(1))]);
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 755 dir", "/a/b 755 dir", "/a/b/c 600 file 1"]);
    assert_eq!(tree[tree.lookup(&path("a")).unwrap()].meta, Meta::implied());
}

#[test]
fn a_directory_over_a_directory_keeps_what_is_in_it() {
    let mut tree = lower(&[("a/b", file(1))]);
    tree.insert_at(&path("a"), dir()).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 700 dir", "/a/b 600 file 1"]);
    tree.insert_at(&path("a"), file(2)).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 600 file 2"]);
    assert_eq!(tree.len(), 2);
    tree.insert_at(&path("a"), dir()).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 700 dir"]);
}

#[test]
fn look_ups_follow_nothing() {
    let mut tree = lower(&[("d/x", file(1)), ("l", symlink("d"))]);
    assert!(tree.lookup(&path("l")).is_some());
    assert_eq!(tree.lookup(&path("l/x")), None);
    let refused = tree.insert_at(&path("l/x"), file(2));
    assert_eq!(refused, Err(TreeError::NotADirectory(path("l"))));
    let refused = tree.insert_at(&path("d/x/y"), file(2));
    assert_eq!(refused, Err(TreeError::NotADirectory(path("d/x"))));
}

#[test]
fn hard_links_share_an_inode_until_the_last_name_goes() {
    let mut tree = lower(&[("a", file(1)), ("d", dir())]);
    let (a, d) = (tree.lookup(&path("a")).unwrap(), tree.lookup(&path("d")).unwrap());
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    tree.link(d, name("b"), a).unwrap();
    assert_eq!(tree[a].links(), 2);
    tree.link(d, name("b"), a).unwrap();
    assert_eq!(tree[a].links(), 2, "the same name again is no new one");
    assert_eq!(tree.link(d, name("d"), d), Err(TreeError::LinkedDirectory));
    assert!(tree.remove(InodeId::ROOT, b"a"));
    assert_eq!(listing(&tree), ["/ 755 dir", "/d 700 dir", "/d/b 600 file 1"]);
    // Over the directory that has its last name: the file stays, the directory goes.
    tree.link(InodeId::ROOT, name("d"), a).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/d 600 file 1"]);
    assert!(tree.remove(InodeId::ROOT, b"d"));
    assert!(tree.get(a).is_none());
    assert!(tree.is_empty());
}

#[test]
fn the_root_is_a_directory_and_stays_one() {
    let mut tree = Tree::default();
    assert_eq!(tree.insert_at(&Path::root(), file(1)), Err(TreeError::Root));
    tree.insert_at(&Path::root(), dir()).unwrap();
    assert_eq!(listing(&tree), ["/ 700 dir"]);
}

#[test]
fn a_cloned_directory_comes_in_empty() {
    let mut tree = lower(&[("a/b", file(1))]);
    let copy = tree[tree.lookup(&path("a")).unwrap()].clone();
    tree.insert_at(&path("c"), copy).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 755 dir", "/a/b 600 file 1", "/c 755 dir"]);
}

#[test]
fn depth_costs_no_stack() {
    let mut tree: Tree<u32> = Tree::default();
    let mut at = InodeId::ROOT;
    for _ in 0..300_000 {
        at = tree.insert(at, Name::new(b"d").unwrap(), dir()).unwrap();
    }
    assert_eq!(tree.walk().count(), 300_001);
    let mut layer: Layer<u32> = Layer::new();
    layer.whiteout(&path("d")).unwrap();
    let deep = tree.clone();
    let tree = tree::stack(tree, layer).unwrap();
    assert!(tree.is_empty());
    drop(deep);
}

#[test]
fn contents_are_made_anew_one_by_one() {
    let tree = lower(&[("a", file(1)), ("b", file(2)), ("s", symlink("a"))]);
    let doubled = tree.clone().try_map(|_, content| Ok::<_, ()>(content.wrapping_mul(2)));
    assert_eq!(
        listing(&doubled.unwrap()),
        ["/ 755 dir", "/a 600 file 2", "/b 600 file 4", "/s 777 -> a"]
    );
    assert_eq!(
        tree.try_map(|_, content| if content == 2 { Err(()) } else { Ok(0) }).map(|_| ()),
        Err(())
    );
}

#[test]
fn symlinks_are_resolved_inside_the_tree() {
    let tree = lower(&[
        ("usr/lib/x", dir()),
        ("lib", symlink("usr/lib")),
        ("abs", symlink("/usr/lib")),
        ("out", symlink("../../../usr")),
        ("usr/up", symlink("../lib/x")),
        ("dangling", symlink("no/such")),
        ("loop", symlink("loop")),
        ("file", file(1)),
    ]);
    let at = |text: &str| tree.lookup(&path(text));
    let resolve = |text: &str| tree.resolve(&path(text));
    for (from, to) in [
        ("lib/x", "usr/lib/x"),
        ("abs", "usr/lib"),
        ("out/lib", "usr/lib"),
        ("usr/up", "usr/lib/x"),
        ("", ""),
    ] {
        let found = resolve(from).unwrap();
        assert_eq!((Some(found.directory), found.missing.len()), (at(to), 0), "{from}");
    }
    let found = resolve("dangling/x").unwrap();
    assert_eq!(found.directory, InodeId::ROOT);
    assert_eq!(found.missing, ["no", "such", "x"].map(|part| Name::new(part.as_bytes()).unwrap()));
    assert_eq!(resolve("loop"), Err(tree::ResolveError::TooManyLinks));
    assert_eq!(resolve("file/x"), Err(tree::ResolveError::NotADirectory));
    let far = lower(&[("l", Inode::symlink(Meta::default(), &b"./".repeat(9000)))]);
    assert_eq!(far.resolve(&path("l")), Err(tree::ResolveError::TooLong));
    let bad = lower(&[("l", Inode::symlink(Meta::default(), &[b'x'; 300]))]);
    assert_eq!(bad.resolve(&path("l")), Err(tree::ResolveError::BadTarget));
}
