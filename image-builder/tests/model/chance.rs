//! Layers by chance.

use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tree::{Meta, Mode, Time};

use super::make::apply;
use super::state::State;
use super::tar::{Dialect, write};
use super::{Member, Sparse, What};

/// How a layer is compressed.
#[derive(Clone, Debug)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    /// In members, cut at these places.
    Members(Vec<Index>),
    Zstd,
}

/// A layer: its tar, and how that is compressed.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) tar: Vec<u8>,
    pub(crate) packing: Packing,
    /// The same for umoci, which does not know GNU's sparse headers.
    pub(crate) simple: Vec<u8>,
}

/// An image, and what is in it.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
    pub(crate) state: State,
    /// Whether some directories are only implied by what is in them.
    pub(crate) implied: bool,
    /// Only shown when a test fails.
    members: Vec<(Dialect, Vec<Member>)>,
}

/// As much of a path as anybody reads.
fn short(path: &[u8]) -> String {
    let names = path.split(|byte| *byte == b'/');
    let shown = names.map(|name| name[..name.len().min(12)].escape_ascii().to_string());
    shown.collect::<Vec<_>>().join("/")
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (layer, (dialect, members)) in self.layers.iter().zip(&self.members) {
            writeln!(f, "layer, {dialect:?}, {:?}", layer.packing)?;
            for member in members {
                let what = match &member.what {
                    What::File(parts) => {
                        let lengths = parts.iter().map(|(hole, data)| (*hole, data.len()));
                        format!("{:?}", lengths.collect::<Vec<_>>())
                    }
                    What::Symlink(target) => format!("symlink of {}", target.len()),
                    What::Link(target) => format!("link {}", short(target)),
                    other => format!("{other:?}"),
                };
                let meta = &member.meta;
                let xattrs: Vec<_> =
                    meta.xattrs.keys().map(|name| String::from_utf8_lossy(name)).collect();
                let (mode, time) = (meta.mode, meta.mtime);
                let path = short(&member.path);
                writeln!(
                    f,
                    "  {path}: {what} {mode:?} {}:{} {time:?} {xattrs:?}",
                    meta.uid, meta.gid
                )?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(super) enum Made {
    Directory,
    File(Sparse),
    Symlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    Link(Index),
}

/// A member that is to be: what, in which directory, behind which directories that nobody
/// describes, under which name.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) made: Made,
    pub(super) parent: Index,
    pub(super) implied: Vec<Vec<u8>>,
    pub(super) name: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) acl: Option<(u8, u8, u8)>,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) dialect: Dialect,
    pub(super) packing: Packing,
    pub(super) root: Option<Meta>,
    pub(super) hidden: Vec<(bool, Index)>,
    pub(super) steps: Vec<Step>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = || (1..=255_u8).prop_filter("a name has none", |byte| *byte != b'/');
    prop_oneof![
        8 => "[a-e]".prop_map(String::into_bytes),
        2 => vec(byte(), 1..40),
        1 => vec(byte(), 200..=255),
        // Where names leave the header.
        1 => "[a-c]{96,103}".prop_map(String::into_bytes),
    ]
    .prop_filter("no name, or a whiteout's", |name| {
        !matches!(&name[..], b"." | b"..") && !name.starts_with(b".wh.")
    })
}

/// Attributes for all, and some for files and directories only.
fn xattrs() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let some = |prefix: &'static str| {
        ("[a-z.]{1,20}", vec(any::<u8>(), 1..120))
            .prop_map(move |(name, value)| (format!("{prefix}{name}").into_bytes(), value))
    };
    // cap_net_raw, cap_chown and so on, permitted and effective, version 2.
    let capability = (0..40_u32).prop_map(|bit| {
        let (low, high) = if bit < 32 { (1_u32 << bit, 0) } else { (0, 1_u32 << (bit - 32)) };
        let words = [0x0200_0001, low, 0, high, 0].map(u32::to_le_bytes);
        (b"security.capability".to_vec(), words.concat())
    });
    let one = prop_oneof![3 => some("user."), 2 => some("trusted."), 1 => capability];
    prop_oneof![3 => Just(BTreeMap::new()), 2 => vec(one, 1..4).prop_map(|all| all.into_iter().collect())]
}

fn meta() -> impl Strategy<Value = Meta> {
    let id = || prop_oneof![3 => 0..2000_u32, 1 => 0..u32::MAX];
    // What ext4 has room for.
    let seconds = prop_oneof![4 => 0..2_000_000_000_i64, 1 => -2_000_000_000..8_000_000_000_i64];
    (0..0o10000_u16, id(), id(), seconds, 0..1_000_000_000_u32, xattrs()).prop_map(
        |(mode, uid, gid, seconds, nanoseconds, xattrs)| Meta {
            mode: Mode::new(mode),
            uid,
            gid,
            mtime: Time::new(seconds, nanoseconds).unwrap(),
            xattrs,
        },
    )
}

fn content() -> impl Strategy<Value = Sparse> {
    let data = prop_oneof![
        3 => (any::<u64>(), 1..5000_usize),
        1 => (any::<u64>(), 4095..4098_usize),
        1 => (0..3_u64, 60_000..300_000_usize),
        1 => (0..2_u64, 1_000_000..2_200_000_usize),
    ]
    .prop_map(|(seed, length)| crate::support::files::text(seed, length));
    let hole = prop_oneof![3 => 1..20_000_u64, 1 => 1_000_000..3_500_000_u64];
    let part = (hole, prop_oneof![1 => Just(Vec::new()), 3 => vec(any::<u8>(), 1..3000)]);
    prop_oneof![
        1 => Just(Vec::new()),
        5 => data.prop_map(|data| vec![(0, data)]),
        2 => vec(part.clone(), 1..4),
        // More than a header and its first extension have room for.
        1 => vec((1..2000_u64, vec(any::<u8>(), 1..40)), 26..30),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let target = prop_oneof![4 => vec(1..=255_u8, 1..150), 1 => vec(1..=255_u8, 1000..3000)];
    let number = || (0..4096_u32, 0..1_u32 << 20);
    let made = prop_oneof![
        5 => Just(Made::Directory),
        7 => content().prop_map(Made::File),
        2 => target.prop_map(Made::Symlink),
        1 => number().prop_map(|(major, minor)| Made::Char(major, minor)),
        1 => number().prop_map(|(major, minor)| Made::Block(major, minor)),
        1 => Just(Made::Fifo),
        3 => any::<Index>().prop_map(Made::Link),
    ];
    let deep = (2..120_usize).prop_map(|depth| vec![b"deep".to_vec(); depth]);
    let implied = prop_oneof![12 => Just(Vec::new()), 3 => vec(name(), 1..3), 1 => deep];
    let acl = prop::option::weighted(0.1, (0..8_u8, 0..8_u8, 0..8_u8));
    (made, any::<Index>(), implied, name(), meta(), acl).prop_map(
        |(made, parent, implied, name, meta, acl)| Step { made, parent, implied, name, meta, acl },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let dialect = prop_oneof![
        2 => Just(Dialect::Pax { sparse_map_in_data: true }),
        1 => Just(Dialect::Pax { sparse_map_in_data: false }),
        2 => Just(Dialect::Gnu { sparse: true }),
    ];
    let packing = prop_oneof![
        Just(Packing::Plain),
        Just(Packing::Gzip),
        vec(any::<Index>(), 1..5).prop_map(Packing::Members),
        Just(Packing::Zstd),
    ];
    let hidden = vec((any::<bool>(), any::<Index>()), 0..4);
    (dialect, packing, prop::option::of(meta()), hidden, vec(step(), 1..25)).prop_map(
        |(dialect, packing, root, hidden, steps)| Plan { dialect, packing, root, hidden, steps },
    )
}

/// Images of one to four layers; in half of them each directory is described.
pub(crate) fn images() -> impl Strategy<Value = Image> {
    (any::<bool>(), vec(plan(), 1..5)).prop_map(|(implied, plans)| {
        let (layers, state, members) = (Vec::new(), State::new(), Vec::new());
        let mut image = Image { layers, state, implied, members };
        for mut plan in plans {
            if !implied {
                plan.steps.iter_mut().for_each(|step| step.implied.clear());
            }
            let members = apply(&mut image.state, &plan);
            let tar = write(&members, plan.dialect);
            let simple = match plan.dialect {
                Dialect::Gnu { .. } => write(&members, Dialect::Gnu { sparse: false }),
                Dialect::Pax { .. } => tar.clone(),
            };
            image.layers.push(Layer { tar, packing: plan.packing, simple });
            image.members.push((plan.dialect, members));
        }
        image
    })
}
