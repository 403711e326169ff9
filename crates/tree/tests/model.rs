//! Stacking against a plain model: a map of paths that a layer's entries are applied to, one after
//! the other, as a program that unpacks to disk does it.

mod common;

use std::collections::BTreeMap;

use common::{dir, file, listing, path};
use proptest::prelude::*;
use tree::{Layer, Path, Tree, stack};

#[derive(Clone, Debug)]
enum Op {
    Dir(Path),
    File(Path, u32),
    Whiteout(Path),
    Opaque(Path),
}

/// What is at a path: a directory of that mode, or a file.
#[derive(Clone, PartialEq, Debug)]
enum At {
    Dir(u16),
    File(u32),
}

type Model = BTreeMap<Path, At>;

fn under(outer: &Path, inner: &Path) -> bool {
    inner != outer
        && inner.names().zip(outer.names()).filter(|(a, b)| a == b).count() == outer.names().count()
}

/// Applies one entry; `false` if it does not fit.
fn put(model: &mut Model, at: &Path, what: At) -> bool {
    let mut parents = Vec::new();
    let mut up = at.split();
    while let Some((parent, _)) = up {
        up = parent.split();
        parents.push(parent);
    }
    for parent in parents.into_iter().rev() {
        match model.get(&parent) {
            Some(At::File(_)) => return false,
            Some(At::Dir(_)) => {}
            None => drop(model.insert(parent, At::Dir(0o755))),
        }
    }
    let merges = matches!((model.get(at), &what), (Some(At::Dir(_)), At::Dir(_)));
    if !merges {
        model.retain(|path, _| !under(at, path));
    }
    model.insert(at.clone(), what);
    true
}

/// A layer as the specification reads: what it hides goes first, and only from lower layers.
fn apply(model: &mut Model, ops: &[Op]) -> bool {
    for op in ops {
        match op {
            Op::Whiteout(at) => model.retain(|path, _| path != at && !under(at, path)),
            Op::Opaque(at) => model.retain(|path, _| !under(at, path)),
            Op::Dir(_) | Op::File(..) => {}
        }
    }
    ops.iter().all(|op| match op {
        Op::Dir(at) => put(model, at, At::Dir(0o700)),
        Op::File(at, content) => put(model, at, At::File(*content)),
        Op::Whiteout(_) | Op::Opaque(_) => true,
    })
}

/// The same as a [`Layer`]; `None` if it does not fit.
fn layer(ops: &[Op]) -> Option<Layer<u32>> {
    let mut layer = Layer::new();
    for op in ops {
        match op {
            Op::Dir(at) => drop(layer.insert(at, dir()).ok()?),
            Op::File(at, content) => drop(layer.insert(at, file(*content)).ok()?),
            Op::Whiteout(at) => layer.whiteout(at).ok()?,
            Op::Opaque(at) => layer.hide_all_in(at).ok()?,
        }
    }
    Some(layer)
}

fn as_listing(model: &Model) -> Vec<String> {
    let line = |(path, at): (&Path, &At)| match at {
        At::Dir(mode) => format!("{path} {mode:o} dir"),
        At::File(content) => format!("{path} 600 file {content}"),
    };
    model.iter().map(line).collect()
}

/// The layer's entries as a writer of layers orders them: what is hidden first, and no directory
/// after what is in it.
fn ordered(ops: &[Op]) -> Vec<Op> {
    let hides = |op: &&Op| matches!(op, Op::Whiteout(_) | Op::Opaque(_));
    let mut ordered: Vec<Op> = ops.iter().filter(hides).cloned().collect();
    let mut files: Vec<&Path> = Vec::new();
    for op in ops {
        match op {
            Op::Dir(at) if !files.contains(&at) && files.iter().any(|file| under(at, file)) => {}
            Op::Dir(at) | Op::File(at, _) => {
                files.push(at);
                ordered.push(op.clone());
            }
            Op::Whiteout(_) | Op::Opaque(_) => {}
        }
    }
    ordered
}

fn paths() -> impl Strategy<Value = Path> {
    prop::collection::vec("[abc]", 1..4).prop_map(|names| path(&names.join("/")))
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => paths().prop_map(Op::Dir),
        4 => (paths(), 0..9_u32).prop_map(|(at, content)| Op::File(at, content)),
        1 => paths().prop_map(Op::Whiteout),
        1 => paths().prop_map(Op::Opaque),
    ];
    prop::collection::vec(op, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn stacking_is_unpacking_one_after_the_other(layers in prop::collection::vec(ops(), 1..4)) {
        let mut model = Model::from([(Path::root(), At::Dir(0o755))]);
        let mut tree: Tree<u32> = Tree::default();
        for ops in &layers {
            let ops = ordered(ops);
            if !apply(&mut model, &ops) {
                // Whether a later entry mends what an earlier one could not do is not the
                // model's to say.
                return Ok(());
            }
            tree = layer(&ops).and_then(|layer| stack(tree, layer).ok()).expect("it fits");
            prop_assert_eq!(listing(&tree), as_listing(&model));
            prop_assert_eq!(tree.len(), model.len());
            prop_assert_eq!(tree.len(), tree.inodes().count());
        }
    }
}
