//! How much a layer may ask for, and what is done where programs differ.

/// Ceilings for one layer. What goes beyond is refused, however little it costs to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the tar, and bytes of all its files with their holes. 1 TiB.
    pub unpacked: u64,
    /// How many bytes one compressed byte may become, once there are more than
    /// [`Self::ratio_from`]. 200: a layer of a file system stays under 20, gzip can do 1032, zstd
    /// anything.
    pub ratio: u32,
    /// How many bytes may come at any ratio: zeros compress well. 256 MiB.
    pub ratio_from: u64,
    /// Members of the tar, and files of the tree, parents that are only implied among them. Five
    /// million: ten times what the largest images have.
    pub entries: u64,
    /// Bytes of all names, link targets and extended attributes: what must be in memory. 512 MiB.
    pub metadata: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked: 1 << 40,
            ratio: 200,
            ratio_from: 256 << 20,
            entries: 5_000_000,
            metadata: 512 << 20,
        }
    }
}

/// What is done where containerd is more lenient than this crate is by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// How much a layer may ask for.
    pub limits: Limits,
    /// An absolute path, of a member or a hard link's target.
    pub absolute_paths: AbsolutePaths,
    /// A path through a symbolic link of the same layer.
    pub through_symlinks: ThroughSymlinks,
}

/// What is done with an absolute path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AbsolutePaths {
    /// The layer is refused.
    #[default]
    Refuse,
    /// It is taken from the tree's root, as containerd and umoci do. Some builders write them.
    FromRoot,
}

/// What is done with a path through a symbolic link of the same layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ThroughSymlinks {
    /// The layer is refused.
    #[default]
    Refuse,
    /// It is followed, inside the tree, as containerd and umoci do.
    Follow,
}
