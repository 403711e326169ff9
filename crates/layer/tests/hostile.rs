//! Hostile and broken layers, each refused for its own reason.

mod common;

use std::io::{self, Write};

use common::{read, take, tree_of};
use layer::limits::{AbsolutePaths, ThroughSymlinks};
use layer::unpack::Bomb;
use layer::{
    Limits, Member, MemberKind, Options, ReadError, Refusal, TarError, TarWriter, read_layer,
};
use tree::{Meta, PathError};

fn member(path: &str, kind: MemberKind, link: &str) -> Member {
    Member {
        path: path.into(),
        kind,
        link: link.into(),
        meta: Meta::implied(),
        size: 0,
        extents: Vec::new(),
    }
}

fn tar(members: &[(&str, MemberKind, &str)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (path, kind, link) in members {
        tar.append(&member(path, *kind, link), |_| Ok(())).expect("to memory");
    }
    tar.finish().expect("to memory")
}

/// A header as it is asked for, whatever sense that makes; the checksum is right.
fn header(name: &[u8], kind: u8, size: &[u8], magic: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = kind;
    block[257..257 + magic.len()].copy_from_slice(magic);
    sealed(block)
}

fn sealed(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

const USTAR: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";

/// An extended header of that kind before the rest.
fn extended(kind: u8, data: &[u8], then: &[u8]) -> Vec<u8> {
    let magic = if kind.is_ascii_uppercase() { GNU } else { USTAR };
    let size = format!("{:011o}", data.len());
    let mut out = header(b"extended", kind, size.as_bytes(), magic);
    out.extend(data);
    out.resize(out.len().next_multiple_of(512), 0);
    out.extend(then);
    out
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| rest + length.to_string().len() == *length);
    format!("{} {key}={value}\n", length.expect("some length")).into_bytes()
}

fn file(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = header(name, b'0', format!("{:011o}", data.len()).as_bytes(), USTAR);
    out.extend(data);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn ended(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend([0; 1024]);
    bytes
}

fn refusal(bytes: &[u8]) -> Refusal {
    match read(bytes) {
        Err(ReadError::Refused { why, .. }) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn error(bytes: &[u8]) -> TarError {
    match read(bytes) {
        Err(ReadError::Tar(error)) => error,
        other => panic!("no error of the tar: {other:?}"),
    }
}

use MemberKind::{Directory, File, HardLink, Symlink};

#[test]
fn paths_that_lead_elsewhere() {
    assert_eq!(refusal(&tar(&[("/etc/passwd", File, "")])), Refusal::Absolute);
    assert_eq!(refusal(&tar(&[("//", Directory, "")])), Refusal::Absolute);
    // umoci calls the root so.
    let root = tar(&[("/", Directory, "")]);
    assert!(read_layer(&root[..], &Options::default(), |_, _| Ok::<_, io::Error>(())).is_ok());
    for up in ["../a", "a/../../b", "a/..", ".."] {
        assert_eq!(refusal(&tar(&[(up, File, "")])), Refusal::Path(PathError::Parent), "{up}");
    }
    for target in ["../../etc/shadow", "/etc/shadow", "a/../b", ""] {
        let why = refusal(&tar(&[("link", HardLink, target)]));
        assert!(matches!(why, Refusal::LinkTarget(_)), "{target}: {why}");
    }
    assert!(matches!(refusal(&tar(&[("x", HardLink, "x")])), Refusal::Layer(_)));
    assert!(matches!(
        refusal(&tar(&[("d", Directory, ""), ("x", HardLink, "d")])),
        Refusal::Layer(_)
    ));
    let long = format!("{}/x", "a/".repeat(2050));
    assert_eq!(refusal(&tar(&[(&long, File, "")])), Refusal::TooLong);
    assert_eq!(refusal(&tar(&[("./", File, "")])), Refusal::Root);
    let name = "n".repeat(256);
    assert!(matches!(refusal(&tar(&[(&name, File, "")])), Refusal::Path(PathError::Name(_))));
    assert!(matches!(refusal(&tar(&[("f", File, ""), ("f/x", File, "")])), Refusal::Layer(_)));
}

#[test]
fn symbolic_links() {
    // What they say is data. Who follows them stays inside.
    let bytes = tar(&[("out", Symlink, "../../../../etc"), ("abs", Symlink, "/etc/passwd")]);
    assert!(read(&bytes).is_ok());
    for target in [String::new(), "x".repeat(4096)] {
        assert_eq!(refusal(&tar(&[("s", Symlink, &target)])), Refusal::Target);
    }
    let through = tar(&[("s", Symlink, "../../d"), ("s/x", File, "")]);
    assert_eq!(refusal(&through), Refusal::ThroughSymlink);
    let loops = tar(&[("s", Symlink, "s"), ("s/x", File, "")]);
    assert_eq!(refusal(&loops), Refusal::ThroughSymlink);
    let linked = tar(&[("s", Symlink, "d"), ("d/x", File, ""), ("y", HardLink, "s/x")]);
    assert!(matches!(refusal(&linked), Refusal::LinkTarget(_)));

    let follow = Options { through_symlinks: ThroughSymlinks::Follow, ..Options::default() };
    let layer = read_layer(&through[..], &follow, take).expect("it is followed");
    assert!(layer.tree().lookup(&common::tree_path("d/x")).is_some());
    let loops = read_layer(&loops[..], &follow, take);
    assert!(matches!(loops, Err(ReadError::Refused { why: Refusal::Resolve(_), .. })));
}

#[test]
fn absolute_paths_can_be_taken_from_the_root() {
    let bytes = tar(&[("/a", File, ""), ("/b", HardLink, "/a"), ("//c//d", File, "")]);
    let options = Options { absolute_paths: AbsolutePaths::FromRoot, ..Options::default() };
    let layer = read_layer(&bytes[..], &options, take).expect("it is taken");
    assert_eq!(layer.tree().len(), 4);
}

#[test]
fn whiteouts() {
    let bytes =
        tar(&[("a/.wh.b", File, ""), ("c/.wh..wh..opq", File, ""), (".wh..wh.plnk/x", File, "")]);
    let layer = read(&bytes).expect("it is read");
    let at = |path: &str| layer.tree().lookup(&common::tree_path(path)).expect("it is there");
    assert_eq!(layer.whiteouts(at("a")).map(|name| name.as_bytes()).collect::<Vec<_>>(), [b"b"]);
    assert!(layer.is_opaque(at("c")));
    assert_eq!(layer.tree().len(), 3);
    for bad in [".wh.", ".wh..", ".wh..."] {
        let why = refusal(&tar(&[(bad, File, "")]));
        assert!(matches!(why, Refusal::Whiteout(_)), "{bad}: {why}");
    }
    assert_eq!(refusal(&tar(&[(".wh.a/b", File, "")])), Refusal::InWhiteout);
}

#[test]
fn sizes_in_two_places() {
    // The PAX size counts: what looks like a member inside the data is data.
    let smuggled = file(b"smuggled", b"x");
    let mut inner = header(b"outer", b'0', b"00000000000", USTAR);
    inner.extend(&smuggled);
    let bytes = ended(extended(b'x', &record("size", &smuggled.len().to_string()), &inner));
    let tree = tree_of(&bytes);
    assert_eq!(tree.len(), 2);
    let outer = tree.lookup(&common::tree_path("outer")).expect("there");
    assert_eq!(tree[outer].content().map(|content| content.0), Some(smuggled.len() as u64));

    // Data after what has none.
    for kind in *b"123456" {
        let mut bytes = header(b"link", kind, b"00000001000", USTAR);
        bytes[157] = b'a';
        let mut bytes = sealed(bytes);
        bytes.extend(&smuggled);
        assert!(matches!(error(&ended(bytes)), TarError::DataAfterNoFile(_)), "{kind}");
    }
    for size in ["-1", "99999999999999999999", "1x", " 1", "0x10"] {
        let bytes = ended(extended(b'x', &record("size", size), &file(b"f", b"")));
        assert!(matches!(error(&bytes), TarError::Pax(_)), "{size}");
    }
    let negative = header(b"f", b'0', &[0xff; 12], USTAR);
    assert!(matches!(error(&ended(negative)), TarError::Field { field: "size", .. }));
    let huge = header(b"f", b'0', b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", USTAR);
    assert!(matches!(error(&ended(huge)), TarError::Bomb(Bomb::Size(_))));
}

#[test]
fn names_in_two_places() {
    let path = |name: &str| record("path", name);
    let both = extended(b'L', b"gnu\0", &extended(b'x', &path("pax"), &file(b"f", b"")));
    assert!(matches!(error(&ended(both)), TarError::TwoNames(_)));
    let same = extended(b'L', b"one\0", &extended(b'x', &path("one"), &file(b"f", b"")));
    assert!(read(&ended(same)).is_ok());
    let hidden = extended(b'L', b"one\0two", &file(b"f", b""));
    assert!(matches!(error(&ended(hidden)), TarError::TwoNames(_)));
    let nul = extended(b'x', &path("one\0two"), &file(b"f", b""));
    assert!(matches!(error(&ended(nul)), TarError::Pax(_)));
    for stray in [
        extended(b'x', &path("a"), &extended(b'x', &path("b"), &file(b"f", b""))),
        extended(b'L', b"a\0", &extended(b'L', b"b\0", &file(b"f", b""))),
        extended(b'x', &path("a"), &extended(b'g', &record("comment", "c"), &file(b"f", b""))),
        extended(b'x', &path("a"), &[]),
    ] {
        assert!(matches!(error(&ended(stray)), TarError::StrayExtension));
    }
}

#[test]
fn extended_headers() {
    let too_long = header(b"x", b'x', b"00010000000", USTAR);
    assert!(matches!(error(&ended(too_long)), TarError::LongExtension(_)));
    for bad in
        [&b"99 path=x\n"[..], b"path=x\n", b"8 path=x\n", b"11 pathxxx\n", b"7 =abc\n", b"0 a=b\n"]
    {
        let bytes = ended(extended(b'x', bad, &file(b"f", b"")));
        assert!(matches!(error(&bytes), TarError::Pax(_)), "{}", bad.escape_ascii());
    }
    let comment = extended(b'g', &record("comment", "made by"), &file(b"f", b""));
    assert!(read(&ended(comment)).is_ok());
    for key in ["path", "size", "uid", "mtime", "SCHILY.xattr.user.x", "GNU.sparse.name"] {
        let bytes = ended(extended(b'g', &record(key, "1"), &file(b"f", b"")));
        assert!(matches!(error(&bytes), TarError::Pax(_)), "{key}");
    }
    for (key, value) in [("uid", "4294967295"), ("gid", "4294967296")] {
        let bytes = ended(extended(b'x', &record(key, value), &file(b"f", b"")));
        assert!(matches!(error(&bytes), TarError::Field { .. }), "{key}");
    }
    let xattr = extended(b'x', &record("SCHILY.xattr.", "v"), &file(b"f", b""));
    assert!(matches!(refusal(&ended(xattr)), Refusal::Xattr(_)));
    let long = "v".repeat(65_537);
    let xattr = extended(b'x', &record("SCHILY.xattr.user.x", &long), &file(b"f", b""));
    assert!(matches!(refusal(&ended(xattr)), Refusal::Xattr(_)));
}

#[test]
fn attributes_as_bsdtar_writes_them() {
    let both = [
        record("LIBARCHIVE.xattr.user.a%3Db", "dmFsdWU"),
        record("LIBARCHIVE.xattr.user.c", "eA=="),
        record("SCHILY.xattr.user.c", "y"),
    ]
    .concat();
    let tree = tree_of(&ended(extended(b'x', &both, &file(b"f", b""))));
    let id = tree.lookup(&common::tree_path("f")).expect("there");
    let xattr = |name: &[u8]| tree[id].meta.xattrs.get(name).map(Vec::as_slice);
    assert_eq!(xattr(b"user.a=b"), Some(&b"value"[..]));
    assert_eq!(xattr(b"user.c"), Some(&b"y"[..]));
}

#[test]
fn maps_of_sparse_files() {
    let sparse = |map: &str, size: &str, stored: usize| {
        let pax = [record("GNU.sparse.size", size), record("GNU.sparse.map", map)].concat();
        ended(extended(b'x', &pax, &file(b"f", &vec![1; stored])))
    };
    assert!(read(&sparse("0,10,100,10", "200", 20)).is_ok());
    for (map, size, stored) in [
        ("0,10,5,10", "200", 20),
        ("100,10,0,10", "200", 20),
        ("0,10", "200", 20),
        ("0,20", "10", 20),
        ("18446744073709551615,20", "200", 20),
        ("0,20,200,0,100,0", "200", 20),
    ] {
        let error = read(&sparse(map, size, stored)).expect_err("refused");
        assert!(
            matches!(error, ReadError::Tar(TarError::SparseMap(_) | TarError::Pax(_))),
            "{map}"
        );
    }
    for bad in ["0", "0,1,", "a,b", "0,-1"] {
        assert!(matches!(error(&sparse(bad, "200", 20)), TarError::Pax(_)), "{bad}");
    }
    let version = [
        record("GNU.sparse.major", "1"),
        record("GNU.sparse.minor", "0"),
        record("GNU.sparse.realsize", "10"),
    ]
    .concat();
    for map in [&b"1\n0\n5\n"[..], b"2\n0\n5\n", b"99999999999999999999\n", b"x", b"\n", b""] {
        let bytes = ended(extended(b'x', &version, &file(b"f", map)));
        assert!(matches!(error(&bytes), TarError::SparseMap(_)), "{}", map.escape_ascii());
    }
}

#[test]
fn kinds_and_numbers_that_make_no_sense() {
    for kind in *b"MVDX89z" {
        assert!(matches!(
            error(&ended(header(b"f", kind, b"", USTAR))),
            TarError::UnknownKind { .. }
        ));
    }
    let mut device = header(b"f", b'3', b"", USTAR);
    device[329..336].copy_from_slice(b"0010000");
    assert!(matches!(error(&ended(sealed(device))), TarError::Field { .. }));
    let mut wrong = header(b"f", b'0', b"", USTAR);
    wrong[0] = b'g';
    assert!(matches!(error(&ended(wrong)), TarError::NoHeader(0)));
    assert!(matches!(error(b""), TarError::Truncated(0)));
    assert!(matches!(error(&[b'x'; 512]), TarError::NoHeader(0)));
    let mut after = vec![0; 512];
    after.extend(file(b"f", b""));
    assert!(matches!(error(&after), TarError::NoHeader(512)));
}

#[test]
fn the_last_of_one_name_counts() {
    let bytes = [file(b"f", b"first"), file(b"g", b""), file(b"f", b"second")].concat();
    let tree = tree_of(&ended(bytes));
    let id = tree.lookup(&common::tree_path("f")).expect("there");
    assert_eq!(tree[id].content().map(|content| content.0), Some(6));
}

#[test]
fn limits_hold() {
    let many: Vec<_> = (0..20).map(|number| format!("f{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), File, "")).collect();
    let with = |limits: Limits, bytes: &[u8]| match read_layer(
        bytes,
        &Options { limits, ..Options::default() },
        take,
    ) {
        Err(ReadError::Tar(error)) => error,
        other => panic!("not refused: {other:?}"),
    };
    let limits = Limits { entries: 19, ..Limits::default() };
    assert!(matches!(with(limits, &tar(&many)), TarError::TooMany(_)));
    let deep = "d/".repeat(40);
    let limits = Limits { entries: 39, ..Limits::default() };
    assert!(matches!(with(limits, &tar(&[(&deep, Directory, "")])), TarError::TooMany(_)));
    let limits = Limits { metadata: 30, ..Limits::default() };
    assert!(matches!(with(limits, &tar(&many)), TarError::TooMany(_)));
    let limits = Limits { unpacked: 1000, ..Limits::default() };
    assert!(matches!(with(limits, &tar(&many)), TarError::Bomb(Bomb::Size(1000))));
    // Declared, and not there: a hole costs nothing to say.
    let pax =
        [record("GNU.sparse.size", "9000000000000"), record("GNU.sparse.map", "0,0")].concat();
    let bytes = ended(extended(b'x', &pax, &file(b"f", b"")));
    assert!(matches!(error(&bytes), TarError::Bomb(Bomb::Size(_))));
}

#[test]
fn bombs_stop_early() {
    let mut bomb = tar(&[]);
    bomb.resize(64 << 20, 0);
    let limits = Limits { ratio_from: 1 << 20, ratio: 100, ..Limits::default() };
    for packed in [gzip(&bomb), zstd(&bomb)] {
        assert!(read(&packed).is_ok(), "64 MiB may come at any ratio");
        let mut asked = 0;
        let counting = Counting { inner: &packed, asked: &mut asked };
        let read = read_layer(counting, &Options { limits, ..Options::default() }, take);
        let bomb =
            matches!(read, Err(ReadError::Tar(TarError::Bomb(Bomb::Ratio { ratio: 100, .. }))));
        assert!(bomb, "{read:?}");
        assert!(asked <= 256 << 10);
    }
}

struct Counting<'a> {
    inner: &'a [u8],
    asked: &'a mut usize,
}

impl io::Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        *self.asked += read;
        Ok(read)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).and_then(|()| out.finish()).expect("to memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = zstd::Encoder::new(Vec::new(), 3).expect("made");
    out.include_checksum(true).expect("set");
    out.write_all(bytes).and_then(|()| out.finish()).expect("to memory")
}

#[test]
fn compressed_layers_are_told_by_their_first_bytes() {
    let bytes = ended([file(b"a", &[7; 3000]), file(b"b", &[9; 40_000])].concat());
    let (head, tail) = bytes.split_at(2000);
    let skippable = [&b"\x52\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(&bytes)].concat();
    for packed in [
        gzip(&bytes),
        zstd(&bytes),
        [gzip(head), gzip(b""), gzip(tail)].concat(),
        [zstd(head), zstd(b""), zstd(tail)].concat(),
        skippable,
    ] {
        let trees = (tree_of(&packed), tree_of(&bytes));
        assert_eq!(common::list_tree(&trees.0), common::list_tree(&trees.1));
    }
}

#[test]
fn broken_compressed_layers_are_refused() {
    let noise: Vec<u8> =
        (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bytes = ended(file(b"a", &noise));
    for packed in [gzip(&bytes), zstd(&bytes)] {
        assert!(read(&packed).is_ok());
        for length in (4..packed.len()).step_by(7) {
            assert!(read(&packed[..length]).is_err(), "cut off after {length}");
        }
        // Checksums stand at the end of both.
        for at in (packed.len() / 2..packed.len()).step_by(13) {
            let mut flipped = packed.clone();
            flipped[at] ^= 0x10;
            let whole = |layer: tree::Layer<common::Content>| {
                tree::stack(tree::Tree::default(), layer).map(|tree| common::list_tree(&tree)).ok()
            };
            let read = read(&flipped).ok().and_then(whole);
            let good = whole(read_layer(&packed[..], &Options::default(), take).expect("good"));
            // A flip in gzip's size field of the last member is caught; none may change the tree.
            assert!(read.is_none() || read == good, "byte {at}");
        }
    }
}

#[test]
fn an_error_of_the_taker_is_handed_on() {
    let bytes = ended(file(b"dir/\xff", b"x"));
    let taken = read_layer::<(), _>(&bytes[..], &Options::default(), |_, _| Err("no room"));
    let Err(error) = taken else { panic!("taken") };
    assert_eq!(error.to_string(), "dir/\\xff: no room");
}
