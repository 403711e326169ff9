//! The Linux kernel mounts what is written as EROFS, each blob in uncompressed address space as a
//! device, and shows the same tree with the same bytes. Needs root and a kernel with file-backed
//! EROFS (6.12); says aloud what it leaves out.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rafs::{Bootstrap, ChunkId, ChunkInfo, ChunkSize, Compressor, Content, Image};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use support::build::{Built, Options, build, said};
use support::chance;
use tree::{Inode, InodeId, Kind, Meta, Mode, Name, Time, Tree};

/// A mounted image; unmounted when it goes.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    /// An image of one blob, or of none.
    fn new(built: &Built) -> Option<Self> {
        // A blob that is not compressed is a device as it is.
        let device = match built.image.compressor {
            Compressor::None => &built.blob[..],
            Compressor::Lz4 | Compressor::Zstd => &built.device,
        };
        Self::over(&built.image, &[device][..built.image.blobs.len()])
    }

    /// `None`, with a word on standard error, where this cannot be done.
    fn over(image: &Image, devices: &[&[u8]]) -> Option<Self> {
        let can = fs::read_to_string("/proc/filesystems").unwrap_or_default().contains("erofs");
        if !can || !rustix::process::geteuid().is_root() {
            support::skipped("mounting needs root and a kernel with EROFS");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("mount")).unwrap();
        fs::write(path("bootstrap"), image.write().unwrap()).unwrap();
        let mut options = Vec::new();
        for (number, device) in devices.iter().enumerate() {
            let file = path(&format!("device{number}"));
            fs::write(&file, device).unwrap();
            options.push(format!("device={}", file.display()));
        }
        let options = CString::new(options.join(",")).unwrap();
        let (image, target) = (path("bootstrap"), path("mount"));
        match mount(&image, &target, "erofs", MountFlags::RDONLY, options.as_c_str()) {
            Ok(()) => Some(Self { folder }),
            Err(error @ (Errno::PERM | Errno::NOTBLK | Errno::NODEV)) => {
                support::skipped(&format!("the kernel mounts no file as EROFS here: {error}"));
                None
            }
            Err(error) => panic!("the kernel refuses the image: {error}"),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("mount")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.root(), UnmountFlags::DETACH).unwrap();
    }
}

fn xattr(path: &Path, name: &[u8]) -> Vec<u8> {
    let mut value = vec![0; 70_000];
    let name = CString::new(name).unwrap();
    let length = rustix::fs::lgetxattr(path, name.as_c_str(), &mut value).unwrap();
    value.truncate(length);
    value
}

fn names(path: &Path) -> Vec<Vec<u8>> {
    let mut list = vec![0_u8; 70_000];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.sort_unstable();
    names
}

/// One file as the kernel shows it against what it was made of.
fn compare(path: &Path, inode: &Inode<Vec<u8>>) {
    let shown = fs::symlink_metadata(path).unwrap();
    let meta = &inode.meta;
    let at = path.display();
    assert_eq!(shown.mode() & 0o7777, u32::from(meta.mode.bits()), "{at}");
    assert_eq!((shown.uid(), shown.gid()), (meta.uid, meta.gid), "{at}");
    assert_eq!(shown.mtime(), meta.mtime.seconds(), "{at}");
    assert_eq!(shown.mtime_nsec(), i64::from(meta.mtime.nanoseconds()), "{at}");
    if !inode.is_directory() {
        assert_eq!(shown.nlink(), u64::from(inode.links()), "{at}");
    }
    let kind = shown.file_type();
    let device = |of: &tree::Device| {
        let rdev = rustix::fs::makedev(of.major, of.minor);
        assert_eq!(shown.rdev(), rdev, "{at}");
    };
    match inode.kind() {
        Kind::Directory(_) => assert!(kind.is_dir(), "{at}"),
        Kind::File(bytes) => assert!(kind.is_file() && fs::read(path).unwrap() == *bytes, "{at}"),
        Kind::Symlink(target) => {
            assert_eq!(fs::read_link(path).unwrap().as_os_str().as_bytes(), &target[..], "{at}");
        }
        Kind::CharDevice(of) => {
            assert!(kind.is_char_device(), "{at}");
            device(of);
        }
        Kind::BlockDevice(of) => {
            assert!(kind.is_block_device(), "{at}");
            device(of);
        }
        Kind::Fifo => assert!(kind.is_fifo(), "{at}"),
        Kind::Socket => assert!(kind.is_socket(), "{at}"),
    }
    let wanted: Vec<_> = meta.xattrs.keys().cloned().collect();
    assert_eq!(names(path), wanted, "{at}");
    for (name, value) in &meta.xattrs {
        // The kernel shows `user.` attributes of files and directories only.
        if !name.starts_with(b"user.") || kind.is_file() || kind.is_dir() {
            assert_eq!(xattr(path, name), *value, "{at}");
        }
    }
}

/// Whether the image could be mounted; if so, all of it was compared.
fn compare_all(tree: &Tree<Vec<u8>>, options: Options) -> bool {
    let built = build(tree, options);
    let Some(mounted) = Mounted::new(&built) else { return false };
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let path = mounted.root().join(OsStr::from_bytes(walk.path_bytes()));
        compare(&path, visit.inode);
        if let Some(directory) = visit.inode.as_directory() {
            let shown = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
            let mut shown: Vec<_> = shown.map(|name| name.as_bytes().to_vec()).collect();
            shown.sort_unstable();
            let wanted: Vec<_> = directory.iter().map(|(name, _)| name.as_bytes()).collect();
            assert_eq!(shown, wanted);
        }
    }
    true
}

/// Takes away what the kernel itself would not take: attributes whose values it parses, names
/// longer than it asks for, the owner that is none.
fn tame(tree: &mut Tree<Vec<u8>>) {
    let ids: Vec<_> = tree.inodes().map(|(id, _)| id).collect();
    for id in ids {
        let meta = &mut tree.get_mut(id).unwrap().meta;
        meta.xattrs.retain(|name, _| {
            name.len() <= 255 && (name.starts_with(b"user.") || name.starts_with(b"trusted."))
        });
        meta.uid = meta.uid.min(u32::MAX - 1);
        meta.gid = meta.gid.min(u32::MAX - 1);
    }
}

#[test]
fn the_kernel_shows_trees_by_chance() {
    let mut runner = TestRunner::deterministic();
    let mut compared = 0;
    for number in 0..24 {
        let mut tree = chance::trees(60).new_tree(&mut runner).unwrap().current();
        tame(&mut tree);
        let compressor = if number % 2 == 0 { Compressor::None } else { Compressor::Zstd };
        let batch_size = ChunkSize::new(8192).filter(|_| number % 4 == 1);
        if !compare_all(&tree, Options { compressor, batch_size, ..Options::default() }) {
            return;
        }
        compared += 1;
    }
    println!("{compared} images were mounted and compared");
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// What chance hardly makes: long files, many names, attributes that the kernel knows.
fn handmade() -> Tree<Vec<u8>> {
    let mut tree = Tree::new(Meta::implied());
    let long: Vec<u8> = (0..3_500_000_u32).map(|at| (at / 5 % 251) as u8).collect();
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Version 2: owner rwx, group r-x, others ---.
    let acl = [
        &[2, 0, 0, 0][..],
        &[1, 0, 7, 0, 255, 255, 255, 255],
        &[4, 0, 5, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ];
    let xattrs = [
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"system.posix_acl_access".to_vec(), acl.concat()),
        (b"user.big".to_vec(), vec![b'v'; 10_000]),
    ];
    let mtime = Time::new(-5, 7).unwrap();
    let meta = Meta { mode: Mode::new(0o4750), mtime, xattrs: xattrs.into(), ..Meta::implied() };
    let id = tree.insert(InodeId::ROOT, name("long"), Inode::file(meta, long)).unwrap();
    tree.link(InodeId::ROOT, name("link"), id).unwrap();
    let many = Inode::directory(Meta::implied());
    let many = tree.insert(InodeId::ROOT, name("many"), many).unwrap();
    for number in 0..5000 {
        let file = Inode::file(Meta::implied(), format!("{number}").into_bytes());
        tree.insert(many, name(&format!("file-with-a-name-{number}")), file).unwrap();
    }
    let mut at = InodeId::ROOT;
    for _ in 0..60 {
        at = tree.insert(at, name("deep"), Inode::directory(Meta::implied())).unwrap();
    }
    tree.insert(at, name("bottom"), Inode::symlink(Meta::implied(), &[b'x'; 4095])).unwrap();
    tree
}

#[test]
fn the_kernel_shows_long_files_and_large_directories() {
    for compressor in [Compressor::None, Compressor::Lz4, Compressor::Zstd] {
        for bits in [16, 20] {
            let chunk_size = ChunkSize::new(1 << bits).unwrap();
            let options = Options { compressor, chunk_size, ..Options::default() };
            if !compare_all(&handmade(), options) {
                return;
            }
        }
    }
}

/// One image whose files lie in several blobs, with as many devices.
fn merged(parts: &[Built]) -> Image {
    let mut all = Image { tree: Tree::new(Meta::implied()), ..parts[0].image.clone() };
    (all.chunks, all.blobs, all.prefetch) = (Vec::new(), Vec::new(), Vec::new());
    for (number, part) in (0_u8..).zip(parts) {
        let first = u32::try_from(all.chunks.len()).unwrap();
        for (_, inode) in part.image.tree.inodes() {
            let Some(content) = inode.content() else { continue };
            let chunks = content.chunks.iter().map(|id| ChunkId(id.0 + first)).collect();
            let content = Content { size: content.size, chunks };
            let file = Inode::file(inode.meta.clone(), content);
            all.tree.insert(InodeId::ROOT, name(&format!("file{number}")), file).unwrap();
        }
        all.chunks
            .extend(part.image.chunks.iter().map(|chunk| ChunkInfo { blob: number, ..*chunk }));
        all.blobs.extend(part.image.blobs.iter().cloned());
    }
    all
}

#[test]
fn the_kernel_reads_each_file_from_its_own_blob() {
    let contents: Vec<Vec<u8>> =
        (0..5_u8).map(|number| [number, b'a', b'\n'].repeat(9000)).collect();
    let parts: Vec<Built> = contents
        .iter()
        .map(|bytes| {
            let mut tree = Tree::new(Meta::implied());
            let file = Inode::file(Meta::implied(), bytes.clone());
            tree.insert(InodeId::ROOT, name("file"), file).unwrap();
            build(&tree, Options::default())
        })
        .collect();
    let image = merged(&parts);
    let bytes = image.write().unwrap();
    let bootstrap = Bootstrap::parse(&bytes).unwrap();
    bootstrap.check().unwrap();
    assert_eq!(said(&bootstrap.image().unwrap()), said(&image));
    let devices: Vec<&[u8]> = parts.iter().map(|part| &part.device[..]).collect();
    let Some(mounted) = Mounted::over(&image, &devices) else { return };
    for (number, bytes) in contents.iter().enumerate() {
        assert!(fs::read(mounted.root().join(format!("file{number}"))).unwrap() == *bytes);
    }
}

#[test]
fn the_checker_of_erofs_agrees() {
    let options = Options { chunk_size: ChunkSize::DEFAULT, ..Options::default() };
    let built = build(&handmade(), options);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("bootstrap"), built.image.write().unwrap()).unwrap();
    fs::write(path("device"), &built.device).unwrap();
    let device = format!("--device={}", path("device").display());
    let mut fsck = std::process::Command::new("fsck.erofs");
    let Ok(output) = fsck.args([&device, "--extract"]).arg(path("bootstrap")).output() else {
        support::skipped("fsck.erofs (erofs-utils) is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_kernel_shows_an_image_without_blobs() {
    let mut tree = Tree::new(Meta::implied());
    tree.insert(InodeId::ROOT, name("empty"), Inode::file(Meta::implied(), Vec::new())).unwrap();
    compare_all(&tree, Options::default());
}
