//! A hundred thousand names in one directory, a million in all: quick, and lean.

use tree::{Inode, InodeId, Layer, Meta, Name, Path, Tree, stack};

/// What the operating system says that the process has in memory beyond files, in bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
}

#[test]
fn a_million_names_take_less_than_250_bytes_each() {
    let before = anonymous();
    let mut layer: Layer<Vec<[u8; 32]>> = Layer::new();
    for directory in 0..10_u32 {
        for file in 0..100_000_u32 {
            let path = Path::parse(format!("dir-{directory}/file-{file:06}").as_bytes());
            let inode = Inode::file(Meta::implied(), Vec::new());
            layer.insert(&path.expect("a path"), inode).expect("room");
        }
    }
    let grown = anonymous().saturating_sub(before);
    println!("{} bytes a name", grown / 1_000_010);
    assert!(grown < 250 * 1_000_000, "{grown} bytes");

    // Over a lower layer, all of it at once.
    let mut lower: Tree<Vec<[u8; 32]>> = Tree::default();
    let top = lower.insert(
        InodeId::ROOT,
        Name::new(b"dir-3").expect("a name"),
        Inode::directory(Meta::implied()),
    );
    lower
        .insert(
            top.expect("room"),
            Name::new(b"old").expect("a name"),
            Inode::fifo(Meta::implied()),
        )
        .expect("room");
    let tree = stack(lower, layer).expect("it fits");
    let peak = anonymous().saturating_sub(before);
    println!("{} bytes a name, stacked", peak / 1_000_010);
    assert!(peak < 400 * 1_000_000, "{peak} bytes");
    assert_eq!(tree.len(), 1_000_012);
    assert!(tree.walk().map(|visit| visit.depth).eq(std::iter::once(0).chain((0..10).flat_map(
        |directory| {
            let files = if directory == 3 { 100_001 } else { 100_000 };
            std::iter::once(1).chain(std::iter::repeat_n(2, files))
        }
    ))));
}
