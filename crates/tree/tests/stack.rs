//! Layers over lower layers, rule by rule, and against a plain model.

mod common;

use common::{dir, file, listing, lower, mode, path, symlink, upper};
use tree::{Implied, Inode, InodeId, Layer, LayerError, Meta, Path, StackError, TreeError, stack};

#[test]
fn a_whiteout_hides_the_lower_and_spares_its_own_layer() {
    let below = lower(&[("a/x", file(1)), ("b", file(2)), ("c/y", file(3))]);
    let mut layer = upper(&[("a/z", file(4))]);
    layer.whiteout(&path("a")).unwrap();
    layer.whiteout(&path("b")).unwrap();
    layer.whiteout(&path("no/such")).unwrap();
    let tree = stack(below, layer).unwrap();
    assert_eq!(
        listing(&tree),
        ["/ 755 dir", "/a 755 dir", "/a/z 600 file 4", "/c 755 dir", "/c/y 600 file 3"]
    );
}

#[test]
fn an_opaque_directory_shows_only_its_own() {
    let below = lower(&[("a/x", file(1)), ("a/y/z", file(2)), ("a", dir())]);
    let mut layer = upper(&[("a/w", file(3))]);
    layer.hide_all_in(&path("a")).unwrap();
    layer.hide_all_in(&path("none")).unwrap();
    assert_eq!(layer.implied(layer.tree().lookup(&path("a")).unwrap()), Some(Implied::ByFile));
    let tree = stack(below, layer).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 700 dir", "/a/w 600 file 3"]);
}

#[test]
fn a_listed_directory_takes_over_metadata_and_an_implied_one_does_not() {
    let mut meta = mode(0o711);
    meta.xattrs.insert(b"user.old".to_vec(), b"1".to_vec());
    let old = Inode::directory(meta.clone());
    let below = lower(&[("a", old.clone()), ("a/x", file(1)), ("b", old.clone()), ("", old)]);
    let layer = upper(&[("a/y", file(2)), ("b", dir()), ("b/y", file(3))]);
    let tree = stack(below, layer).unwrap();
    let at = |text: &str| &tree[tree.lookup(&path(text)).unwrap()];
    assert_eq!(at("a").meta, meta);
    assert_eq!(at("").meta, meta, "the root is implied too");
    assert_eq!(at("b").meta, mode(0o700), "extended attributes go with the rest");
    assert!(tree.lookup(&path("a/x")).is_some() && tree.lookup(&path("a/y")).is_some());
}

#[test]
fn kinds_replace_each_other() {
    let below = lower(&[("d/x", file(1)), ("f", file(2)), ("l", symlink("d"))]);
    let layer = upper(&[("d", file(3)), ("f", dir()), ("l", dir()), ("l/y", file(4))]);
    let tree = stack(below, layer).unwrap();
    assert_eq!(
        listing(&tree),
        ["/ 755 dir", "/d 600 file 3", "/f 700 dir", "/l 700 dir", "/l/y 600 file 4"]
    );
}

#[test]
fn a_directory_that_replaced_a_file_of_its_layer_hides_the_lower_one() {
    let below = lower(&[("a/x", file(1))]);
    let layer = upper(&[("a", file(2)), ("a", dir()), ("a/y", file(3))]);
    let tree = stack(below, layer).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 700 dir", "/a/y 600 file 3"]);
}

#[test]
fn an_implied_directory_leads_where_a_lower_symlink_leads() {
    let below = lower(&[("usr/lib/x", file(1)), ("lib", symlink("usr/lib"))]);
    let mut layer = upper(&[("lib/y/z", file(2)), ("usr/lib/keep", file(3))]);
    layer.whiteout(&path("lib/x")).unwrap();
    layer.whiteout(&path("lib/keep")).unwrap();
    let tree = stack(below, layer).unwrap();
    assert_eq!(
        listing(&tree),
        [
            "/ 755 dir",
            "/lib 777 -> usr/lib",
            "/usr 755 dir",
            "/usr/lib 755 dir",
            "/usr/lib/keep 600 file 3",
            "/usr/lib/y 755 dir",
            "/usr/lib/y/z 600 file 2",
        ]
    );
}

#[test]
fn an_opaque_mark_behind_a_symlink_spares_its_own_layer() {
    let below = lower(&[("d/old/x", file(1)), ("d/both/x", file(1)), ("l", symlink("/d"))]);
    let mut layer = upper(&[("d/both/new", file(2)), ("d/new", file(3))]);
    layer.hide_all_in(&path("l")).unwrap();
    let tree = stack(below, layer).unwrap();
    assert_eq!(
        listing(&tree),
        [
            "/ 755 dir",
            "/d 755 dir",
            "/d/both 755 dir",
            "/d/both/new 600 file 2",
            "/d/new 600 file 3",
            "/l 777 -> /d",
        ]
    );
}

#[test]
fn a_dangling_symlink_gets_its_target_made() {
    let below = lower(&[("l", symlink("var/run"))]);
    let tree = stack(below.clone(), upper(&[("l/x", file(1))])).unwrap();
    assert_eq!(
        listing(&tree),
        [
            "/ 755 dir",
            "/l 777 -> var/run",
            "/var 755 dir",
            "/var/run 755 dir",
            "/var/run/x 600 file 1"
        ]
    );
    let mut only_hides = Layer::new();
    only_hides.whiteout(&path("l/x")).unwrap();
    assert_eq!(listing(&stack(below, only_hides).unwrap()), ["/ 755 dir", "/l 777 -> var/run"]);
}

#[test]
fn what_cannot_be_applied_is_refused() {
    let below = lower(&[("f", file(1)), ("s", symlink("f")), ("o", symlink("o"))]);
    let refusal = |at: &str| stack(below.clone(), upper(&[(at, file(2))])).err();
    assert_eq!(refusal("f/x"), Some(StackError::NotADirectory(path("f"))));
    assert!(matches!(refusal("s/x"), Some(StackError::Link { path: p, .. }) if p == path("s")));
    assert!(matches!(refusal("o/x"), Some(StackError::Link { path: p, .. }) if p == path("o")));
}

#[test]
fn hard_links_inside_a_layer_stay_together() {
    let mut layer = upper(&[("a/one", file(1)), ("s", symlink("x"))]);
    layer.link(&path("b/two"), &path("a/one")).unwrap();
    layer.link(&path("t"), &path("s")).unwrap();
    let tree = stack(lower(&[("b/old", file(2))]), layer).unwrap();
    assert_eq!(
        listing(&tree),
        [
            "/ 755 dir",
            "/a 755 dir",
            "/a/one 600 file 1 x2",
            "/b 755 dir",
            "/b/old 600 file 2",
            "/b/two 600 file 1 x2",
            "/s 777 -> x x2",
            "/t 777 -> x x2",
        ]
    );
    let mut breaks = upper(&[("a/one", file(3))]);
    breaks.whiteout(&path("t")).unwrap();
    let tree = stack(tree, breaks).unwrap();
    assert!(listing(&tree).contains(&"/b/two 600 file 1".to_owned()));
    assert!(listing(&tree).contains(&"/s 777 -> x".to_owned()));
}

#[test]
fn hard_links_into_the_lower_layers_share_its_file() {
    let below = lower(&[("usr/bin/a", file(1)), ("bin", symlink("usr/bin")), ("gone", file(2))]);
    let mut layer = upper(&[("n", file(9))]);
    layer.link(&path("n"), &path("bin/a")).unwrap();
    layer.link(&path("m"), &path("n")).unwrap();
    layer.link(&path("kept"), &path("gone")).unwrap();
    layer.whiteout(&path("gone")).unwrap();
    assert!(layer.needs_lower());
    let tree = stack(below.clone(), layer).unwrap();
    assert_eq!(
        listing(&tree),
        [
            "/ 755 dir",
            "/bin 777 -> usr/bin",
            "/kept 600 file 2",
            "/m 600 file 1 x3",
            "/n 600 file 1 x3",
            "/usr 755 dir",
            "/usr/bin 755 dir",
            "/usr/bin/a 600 file 1 x3",
        ]
    );
    for missing in ["none", "usr", "bin/none"] {
        let mut layer: Layer<u32> = Layer::new();
        layer.link(&path("n"), &path(missing)).unwrap();
        assert_eq!(stack(below.clone(), layer).err(), Some(StackError::LinkTarget(path(missing))));
    }
}

#[test]
fn a_link_to_a_lower_file_is_no_directory() {
    let mut layer: Layer<u32> = Layer::new();
    layer.link(&path("a/n"), &path("low")).unwrap();
    let through = layer.insert(&path("a/n/x"), file(1));
    assert!(matches!(through, Err(LayerError::Tree(TreeError::NotADirectory(_)))));
    layer.insert(&path("a/n"), dir()).unwrap();
    let id = layer.insert(&path("a/n/x"), file(1)).map(|_| layer.tree().lookup(&path("a/n")));
    assert!(layer.is_opaque(id.unwrap().unwrap()), "it replaced a file of its layer");
    assert_eq!(stack(lower(&[("a/n/y", file(2))]), layer).unwrap().len(), 4);
}

#[test]
fn nonsense_about_links_and_the_root_is_refused() {
    let mut layer = upper(&[("d", dir())]);
    let itself = layer.link(&path("a"), &path("a"));
    assert_eq!(itself, Err(LayerError::LinkToItself(path("a"))));
    assert_eq!(layer.link(&path("a"), &path("d")), Err(TreeError::LinkedDirectory.into()));
    assert_eq!(layer.link(&path("a"), &Path::root()), Err(LayerError::Root));
    assert_eq!(layer.whiteout(&Path::root()), Err(LayerError::Root));
    assert_eq!(layer.insert(&Path::root(), file(1)), Err(TreeError::Root.into()));
}

#[test]
fn a_layer_may_hide_everything_and_describe_the_root() {
    let mut layer = upper(&[("", dir()), ("new", file(2))]);
    layer.hide_all_in(&Path::root()).unwrap();
    assert!(layer.is_opaque(InodeId::ROOT));
    let tree = stack(lower(&[("a/b", file(1))]), layer).unwrap();
    assert_eq!(listing(&tree), ["/ 700 dir", "/new 600 file 2"]);
}

#[test]
fn directories_of_whiteouts_are_not_made() {
    let mut layer = Layer::new();
    layer.whiteout(&path("a/b/c")).unwrap();
    let tree = stack(lower(&[]), layer.clone()).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir"]);
    // A file beside the whiteout changes that, for its own parents only.
    layer.insert(&path("a/x"), file(1)).unwrap();
    let tree = stack(lower(&[]), layer).unwrap();
    assert_eq!(listing(&tree), ["/ 755 dir", "/a 755 dir", "/a/x 600 file 1"]);
    assert_eq!(tree[tree.lookup(&path("a")).unwrap()].meta, Meta::implied());
}
