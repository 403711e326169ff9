//! What is prefetched in which order, whatever the lists say: by the metadata alone, nothing is mounted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use lazy::{Extent, Left, Plan, Standing, Step};
use nydusd::prefetch::first::{self, Lost, find, inodes};
use rafs::bootstrap::Nid;
use rafs::codec::Encoder;
use rafs::write::{BlobOptions, BlobWriter};
use rafs::{Bootstrap, ChunkId, ChunkInfo, ChunkSize, Compressor, Content, Digester, Image};
use tree::{Inode, InodeId, Meta, Name, Path, Tree};

/// The length of all chunks but the last of a file.
const CHUNK: u32 = 4096;

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn file(letter: u8, chunks: u8) -> Inode<Vec<u8>> {
    let bytes = (0..chunks).flat_map(|number| vec![letter ^ number; CHUNK as usize]);
    Inode::file(Meta::implied(), bytes.collect())
}

/// Files in folders, links that lead astray, and what is no file.
fn sample() -> Tree<Vec<u8>> {
    let mut tree = Tree::new(Meta::implied());
    let plain = Meta::implied;
    let folder = |tree: &mut Tree<_>, at, text: &str| {
        tree.insert(at, name(text), Inode::directory(plain())).unwrap()
    };
    let d = folder(&mut tree, InodeId::ROOT, "d");
    let e = folder(&mut tree, d, "e");
    let a = tree.insert(InodeId::ROOT, name("a"), file(b'a', 3)).unwrap();
    tree.insert(InodeId::ROOT, name("b"), file(b'B', 1)).unwrap();
    tree.insert(d, name("c"), file(b'\xc0', 2)).unwrap();
    tree.insert(e, name("f"), file(b'\xf0', 1)).unwrap();
    tree.link(d, name("hard"), a).unwrap();
    for (text, target) in [
        ("abs", "/d/e"),
        ("out", "../../../../d/../d/c"),
        ("loop", "pool"),
        ("pool", "/d/e/loop/../x"),
        ("self", "self/self/self/self"),
        ("top", "/"),
        ("nowhere", "d/none"),
    ] {
        tree.insert(e, name(text), Inode::symlink(plain(), target.as_bytes())).unwrap();
    }
    tree.insert(InodeId::ROOT, name("pipe"), Inode::fifo(plain())).unwrap();
    tree.insert(InodeId::ROOT, name("empty"), file(0, 0)).unwrap();
    tree
}

/// The sample's bootstrap, whose own list names these.
fn bootstrap(own: &[&str]) -> Bootstrap<Vec<u8>> {
    let encoder = || Encoder::new(Compressor::None, Digester::Blake3, 0).unwrap();
    let (mut chunks, chunk_size) = (encoder(), ChunkSize::new(CHUNK).unwrap());
    let options = BlobOptions {
        number: 0,
        chunk_size,
        batch_size: None,
        contents: false,
        inline_bootstrap: false,
    };
    let (mut writer, mut out) = (BlobWriter::new(options, encoder()), Vec::new());
    let tree = sample().try_map(|_, bytes| {
        let ids = bytes.chunks(CHUNK as usize).map(|chunk| {
            let chunk = chunks.encode(bytes::Bytes::copy_from_slice(chunk)).unwrap();
            ChunkId(writer.push(chunk, &mut out).unwrap().0)
        });
        Ok::<_, ()>(Content { chunks: ids.collect(), size: bytes.len() as u64 })
    });
    let tree = tree.unwrap();
    let finished = writer.finish_chunks(&mut out).unwrap().finish(None, &mut out).unwrap();
    let own = own.iter().map(|path| tree.lookup(&Path::parse(path.as_bytes()).unwrap()).unwrap());
    let image = Image {
        prefetch: own.collect(),
        tree,
        chunks: finished.chunks,
        blobs: vec![finished.blob],
        chunk_size,
        compressor: Compressor::None,
        digester: Digester::Blake3,
        inlined_digests: false,
    };
    Bootstrap::parse(image.write().unwrap()).unwrap()
}

/// The same, with these numbers in place of its own list's.
fn with_numbers(numbers: &[u32]) -> Bootstrap<Vec<u8>> {
    let made = bootstrap(&vec!["/a"; numbers.len()]);
    let at = usize::try_from(made.superblocks().unwrap().1.prefetch_at.get()).unwrap();
    let mut bytes = made.get_ref().clone();
    for (number, place) in numbers.iter().zip((at..).step_by(4)) {
        bytes[place..place + 4].copy_from_slice(&number.to_le_bytes());
    }
    Bootstrap::parse(bytes).unwrap()
}

fn paths(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|path| path.as_bytes().to_vec()).collect()
}

/// The numbers of the chunks of a file.
fn of(bootstrap: &Bootstrap<Vec<u8>>, path: &str) -> Vec<u32> {
    let inode = bootstrap.inode(find(bootstrap, path.as_bytes()).unwrap()).unwrap();
    bootstrap.chunks(&inode).unwrap().iter().map(|chunk| chunk.unwrap().info.index).collect()
}

/// The numbers of the chunks that are fetched, in their order. What was fetched is here then.
fn fetched(bootstrap: &Bootstrap<Vec<u8>>, first: &[Vec<u8>], extent: Extent) -> Vec<u32> {
    let (here, mut order) = (RefCell::new(BTreeSet::new()), Vec::new());
    let mut plan = Plan::new(bootstrap, &inodes(bootstrap, first), extent);
    let left = |plan: &Plan| plan.clone().left(bootstrap, |c| here.borrow().contains(&c.index));
    let mut before = left(&plan);
    let standing = |c: &ChunkInfo| {
        if here.borrow().contains(&c.index) { Standing::Verified } else { Standing::Missing }
    };
    while let Some(step) = plan.next(bootstrap, 1, standing) {
        let Step::Run(run) = step else { panic!("nothing is batched") };
        assert_eq!(run.chunks.len(), 1, "each is longer than a byte");
        assert!(here.borrow_mut().insert(run.chunks[0].index), "it was here");
        order.push(run.chunks[0].index);
        let now = left(&plan);
        let one = Left { chunks: 1, bytes: u64::from(run.chunks[0].uncompressed_size) };
        assert_eq!((now.chunks + one.chunks, now.bytes + one.bytes), (before.chunks, before.bytes));
        before = now;
    }
    assert_eq!(before, Left::default());
    order
}

#[test]
fn what_is_named_first_comes_first_then_the_images_list_then_the_rest() {
    let image = bootstrap(&["/b", "/d/e"]);
    let of = |path| of(&image, path);
    let first = paths(&["/d/c", "a"]);
    let listed = [of("d/c"), of("a"), of("b"), of("d/e/f")].concat();
    assert_eq!(fetched(&image, &first, Extent::Listed), listed);
    // These are all.
    assert_eq!(fetched(&image, &first, Extent::All), listed);
    assert_eq!(fetched(&image, &[], Extent::Listed), [of("b"), of("d/e/f")].concat());
    let rest = fetched(&image, &paths(&["b"]), Extent::All);
    assert_eq!(rest.iter().collect::<BTreeSet<_>>().len(), 7);
    assert_eq!(rest[..2], [of("b"), of("d/e/f")].concat());
    // The root alone: for who writes images it means nothing in particular, for who mounts them all.
    let unlisted = bootstrap(&["/"]);
    assert!(fetched(&unlisted, &[], Extent::Listed).is_empty());
    assert_eq!(fetched(&unlisted, &paths(&["/"]), Extent::Listed).len(), 7);
}

#[test]
fn paths_lead_nowhere_but_into_the_image() {
    let image = bootstrap(&[]);
    let found = |path: &[u8]| find(&image, path);
    let same = |path: &str, other: &str| {
        assert_eq!(found(path.as_bytes()).unwrap(), found(other.as_bytes()).unwrap(), "{path}");
    };
    same("/d/c", "d//./c/");
    same("../../d/e/../../../../d/c", "/d/c");
    same("d/e/out", "/d/c");
    same("/d/e/abs/f", "/d/e/f");
    same("/d/e/top/b", "/b");
    same("d/hard", "a");
    assert_eq!(found(b"/..").unwrap(), image.root());
    for missing in ["none", "a/b", "d/e/nowhere", "/etc/passwd", "d/e/f/..x", "pipe/x"] {
        assert!(matches!(found(missing.as_bytes()), Err(Lost::Missing)), "{missing}");
    }
    for round in ["d/e/loop", "/d/e/pool/x", "d/e/self"] {
        assert!(matches!(found(round.as_bytes()), Err(Lost::Links)), "{round}");
    }
    assert!(matches!(found(b"\xff\xfe/\x01"), Err(Lost::Missing)));
    let long = "d/".repeat(2048);
    for none in [&b""[..], b"a\0", long.as_bytes()] {
        assert!(matches!(found(none), Err(Lost::NoPath)));
    }
}

#[test]
fn a_hostile_list_of_whoever_mounts_is_harmless() {
    let image = bootstrap(&["/b"]);
    let mut hostile = paths(&["", "/", "..", "d/e/loop", "/no/such", "pipe", "empty", "a", "a"]);
    hostile.remove(1);
    hostile.push(b"\xff\xff".to_vec());
    hostile.push(vec![b'/'; 100_000]);
    hostile.extend((0..3 * first::MOST).map(|number| format!("/missing/{number}").into_bytes()));
    hostile.push(b"/d/c".to_vec());
    // `..` is the root: everything, once, and after it nothing is left. What stands too far back does
    // not count.
    let all = fetched(&image, &hostile, Extent::Listed);
    assert_eq!(all.len(), 7);
    hostile.remove(1);
    let some = fetched(&image, &hostile, Extent::Listed);
    assert_eq!(some, [of(&image, "a"), of(&image, "b")].concat());
    let many = vec![b"/d/hard".to_vec(); first::MOST];
    assert_eq!(inodes(&image, &many).len(), 1);
    bolero::check!().with_type::<Vec<Vec<u8>>>().for_each(|list| {
        assert!(inodes(&image, list).len() <= list.len());
    });
}

#[test]
fn a_hostile_list_in_the_image_is_harmless() {
    let image = bootstrap(&[]);
    let number = |path: &[u8]| u32::try_from(find(&image, path).unwrap().0).unwrap();
    let (a, d, pipe) = (number(b"a"), number(b"d"), number(b"pipe"));
    // What is no inode, or of another kind; a folder and what is in it, again and again.
    let hostile = [u32::MAX, 1, 2, a ^ 1, pipe, d, d, a, d, u32::MAX / 2, a];
    let image = with_numbers(&hostile);
    let found = fetched(&image, &[], Extent::Listed);
    let expected = [of(&image, "d/c"), of(&image, "d/e/f"), of(&image, "a")].concat();
    let sorted = |list: &[u32]| list.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&found), sorted(&expected));
    let long = vec![a; lazy::plan::LONGEST_LIST + 1000];
    assert_eq!(fetched(&with_numbers(&long), &[], Extent::Listed), of(&image, "a"));
    let mut late = vec![pipe; lazy::plan::LONGEST_LIST];
    late.push(a);
    assert!(fetched(&with_numbers(&late), &[], Extent::Listed).is_empty(), "nobody reads so far");
    bolero::check!().with_type::<Vec<u32>>().for_each(|numbers| {
        let image = with_numbers(numbers);
        let found = fetched(&image, &[], Extent::Listed);
        assert!(found.iter().all(|chunk| image.chunk_of(0, *chunk).is_some()));
        assert_eq!(fetched(&image, &[], Extent::All).len(), 7);
    });
}

#[test]
fn a_number_that_is_none_is_left_out_by_whoever_plans() {
    let image = bootstrap(&[]);
    let none = [Nid(u64::MAX), Nid(3), Nid(1 << 40)];
    let mut plan = Plan::new(&image, &none, Extent::Listed);
    assert_eq!(plan.next(&image, 1, |_| Standing::Missing), None);
    assert_eq!(Plan::default().left(&image, |_| false), Left::default());
}

#[test]
fn what_an_earlier_run_has_left_is_checked_in_its_place_and_goes_with_nothing() {
    let image = bootstrap(&[]);
    let mut plan = Plan::new(&image, &[], Extent::All);
    let standing = |chunk: &ChunkInfo| match chunk.index {
        0 | 1 => Standing::Missing,
        3 => Standing::Verified,
        _ => Standing::Recorded,
    };
    let mut steps = std::iter::from_fn(|| plan.next(&image, u64::MAX, standing));
    let Some(Step::Run(run)) = steps.next() else { panic!("the first two are fetched") };
    assert_eq!(run.chunks.iter().map(|chunk| chunk.index).collect::<Vec<_>>(), [0, 1]);
    let checked: Vec<_> = steps
        .map(|step| {
            assert_eq!((step.bytes(), step.uncompressed()), (0, 0), "nothing is to come");
            let Step::Check(chunk) = step else { panic!("it is here: {step:?}") };
            chunk.index
        })
        .collect();
    assert_eq!(checked, [2, 4, 5, 6]);
}
