//! A tree, as a tar, is the same tree again; the same tree makes the same bytes.

use std::convert::Infallible;
use std::io::{self, Read};

use layer::{Options, read_layer, write_tar};
use proptest::prelude::*;
use tree::{Device, Inode, InodeId, Kind, Meta, Mode, Path, Time, Tree, stack};

fn meta() -> impl Strategy<Value = Meta> {
    // Any bytes but NUL in names; values that are not empty, because no PAX header can say those.
    let xattrs = prop::collection::btree_map(
        prop::collection::vec(1..=255_u8, 1..40),
        prop::collection::vec(any::<u8>(), 1..300),
        0..3,
    );
    let id = || prop_oneof![0..10_u32, any::<u32>().prop_map(|id| id.min(u32::MAX - 1))];
    let seconds = prop_oneof![0..2_000_000_000_i64, -4_000_000_000..40_000_000_000_i64];
    let nanoseconds = prop_oneof![Just(0), 0..1_000_000_000_u32];
    (0..0o10000_u16, id(), id(), seconds, nanoseconds, xattrs).prop_map(
        |(mode, uid, gid, seconds, nanoseconds, xattrs)| Meta {
            mode: Mode::new(mode),
            uid,
            gid,
            mtime: Time::new(seconds, nanoseconds).expect("in range"),
            xattrs,
        },
    )
}

fn inode() -> impl Strategy<Value = Inode<Vec<u8>>> {
    let content = prop::collection::vec(any::<u8>(), 0..2000);
    let target = prop::collection::vec(1..=255_u8, 1..300);
    let device =
        || (0..4096_u32, 0..1_u32 << 20).prop_map(|(major, minor)| Device { major, minor });
    prop_oneof![
        4 => (meta(), content).prop_map(|(meta, content)| Inode::file(meta, content)),
        3 => meta().prop_map(Inode::directory),
        1 => (meta(), target).prop_map(|(meta, target)| Inode::symlink(meta, &target)),
        1 => (meta(), device()).prop_map(|(meta, device)| Inode::char_device(meta, device)),
        1 => (meta(), device()).prop_map(|(meta, device)| Inode::block_device(meta, device)),
        1 => meta().prop_map(Inode::fifo),
    ]
}

fn trees() -> impl Strategy<Value = Tree<Vec<u8>>> {
    let name = prop_oneof![
        6 => "[a-c]".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..255),
        1 => "[a-c]{90,110}".prop_map(String::into_bytes),
    ];
    let path = prop::collection::vec(name, 1..5).prop_map(|names| names.join(&b'/'));
    let links = prop::collection::vec((any::<prop::sample::Index>(), path.clone()), 0..5);
    (meta(), prop::collection::vec((path, inode()), 0..20), links).prop_map(
        |(root, puts, links)| {
            let mut tree = Tree::new(root);
            let usable = |path: &[u8]| {
                Path::parse(path)
                    .ok()
                    .filter(|path| path.names().all(|name| !name.starts_with(b".wh.")))
            };
            for (path, inode) in puts {
                // What does not fit is left out.
                if let Some(path) = usable(&path) {
                    drop(tree.insert_at(&path, inode));
                }
            }
            for (which, path) in links {
                let ids: Vec<InodeId> = tree.inodes().map(|(id, _)| id).collect();
                let Some((parent, name)) = usable(&path).and_then(|path| path.split()) else {
                    continue;
                };
                let free = |id: &InodeId| {
                    tree.directory(*id).is_some_and(|d| d.get(name.as_bytes()).is_none())
                };
                if let Some(parent) = tree.lookup(&parent).filter(free) {
                    drop(tree.link(parent, name, *which.get(&ids)));
                }
            }
            tree
        },
    )
}

/// Every name with what it names, and which names share it.
fn listing(tree: &Tree<Vec<u8>>) -> Vec<(Path, Meta, String, usize)> {
    let mut groups = Vec::new();
    let mut walk = tree.walk();
    let mut out = Vec::new();
    while let Some(visit) = walk.next() {
        let group = groups.iter().position(|id| *id == visit.id).unwrap_or(groups.len());
        groups.push(visit.id);
        let what = match visit.inode.kind() {
            Kind::Directory(_) => "directory".to_owned(),
            other => format!("{other:?} x{}", visit.inode.links()),
        };
        out.push((walk.path(), visit.inode.meta.clone(), what, group));
    }
    out
}

fn written(tree: &Tree<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let size = |content: &Vec<u8>| content.len() as u64;
    write_tar(tree, &mut out, size, |_, content, out| out.write_all(content)).expect("to memory");
    out
}

fn read(bytes: &[u8]) -> Tree<Vec<u8>> {
    let whole = |data: &mut layer::FileData<'_>| {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).map(|_| bytes)
    };
    let layer = read_layer(bytes, &Options::default(), |_, data| whole(data));
    stack(Tree::default(), layer.expect("what was written can be read")).expect("over nothing")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_tree_is_the_same_after_it_was_a_tar(tree in trees()) {
        let bytes = written(&tree);
        prop_assert_eq!(bytes.len() % 512, 0);
        let back = read(&bytes);
        prop_assert_eq!(listing(&back), listing(&tree));
        prop_assert_eq!(written(&back), bytes);
    }

    #[test]
    fn what_is_not_read_is_passed_over(tree in trees()) {
        let bytes = written(&tree);
        let layer = read_layer(&bytes[..], &Options::default(), |member, data| {
            // Some bytes of some files.
            let mut some = vec![0; usize::try_from(member.size / 2).unwrap_or(0)];
            data.read_exact(&mut some).map(|()| some)
        });
        let names = |tree: &Tree<Vec<u8>>| listing(tree).into_iter().map(|line| line.0).collect::<Vec<_>>();
        prop_assert_eq!(names(layer.expect("read").tree()), names(&tree));
    }
}

#[test]
fn a_content_of_another_size_is_an_error() {
    let mut tree = Tree::default();
    let path = Path::parse(b"f").expect("a path");
    tree.insert_at(&path, Inode::file(Meta::implied(), 3_u64)).expect("it fits");
    for wrong in [&b"12"[..], b"1234"] {
        let copied = write_tar(&tree, io::sink(), |size| *size, |_, _, out| out.write_all(wrong));
        assert!(matches!(copied, Err(layer::WriteError::Size { size: 3, .. })));
    }
}

#[test]
fn sockets_are_left_out_and_counted() {
    let mut tree: Tree<Infallible> = Tree::default();
    let path = Path::parse(b"s").expect("a path");
    tree.insert_at(&path, Inode::socket(Meta::implied())).expect("it fits");
    let mut out = Vec::new();
    let left_out = write_tar(&tree, &mut out, |_| 0, |_, _, _| Ok(()));
    assert_eq!(left_out.expect("to memory"), 1);
    assert_eq!(read(&out).len(), 1);
}

/// A size of which the header has no room.
#[test]
fn more_than_eight_gigabytes_go_to_the_pax_header() {
    let mut tree = Tree::default();
    let path = Path::parse(b"huge").expect("a path");
    tree.insert_at(&path, Inode::file(Meta::implied(), 9_u64 << 30)).expect("it fits");
    let mut head = Head(Vec::new());
    let stopped =
        write_tar(&tree, &mut head, |size| *size, |_, _, _| Err(io::Error::other("enough")));
    assert!(stopped.is_err());
    let sizes = head.0.windows(16).any(|window| window == b"size=9663676416\n");
    assert!(sizes, "{}", head.0.escape_ascii());
}

struct Head(Vec<u8>);

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
