//! Members out of plans: what makes no sense where it stands is left out.

use std::collections::BTreeSet;

use proptest::sample::Index;
use tree::{Meta, Mode, Time};

use super::chance::{Made, Plan, Step};
use super::state::State;
use super::tar::Dialect;
use super::{Member, What, join};

/// The metadata that this kind of file can have, and this dialect can say.
fn fitting(mut meta: Meta, made: &Made, acl: Option<(u8, u8, u8)>, dialect: Dialect) -> Meta {
    let (file, directory) = (matches!(made, Made::File(_)), matches!(made, Made::Directory));
    meta.xattrs.retain(|name, _| {
        name.starts_with(b"trusted.") || file || name.starts_with(b"user.") && directory
    });
    if matches!(made, Made::Symlink(_)) {
        meta.mode = Mode::SYMLINK;
    }
    if let Some((user, group, other)) = acl.filter(|_| file || directory) {
        let bits = u16::from(user) << 6 | u16::from(group) << 3 | u16::from(other);
        meta.mode = Mode::new(meta.mode.bits() & 0o7000 | bits);
        meta.xattrs.insert(b"system.posix_acl_access".to_vec(), posix_acl(user, group, other));
        if directory {
            let default = posix_acl(other, user, group);
            meta.xattrs.insert(b"system.posix_acl_default".to_vec(), default);
        }
    }
    if matches!(dialect, Dialect::Gnu { .. }) {
        meta.xattrs.clear();
        meta.mtime = Time::new(meta.mtime.seconds(), 0).unwrap();
    }
    meta
}

/// An access list as Linux keeps it (version 2): the owner, one user more, the group, the mask,
/// others. The mask is what the mode's middle bits are.
fn posix_acl(user: u8, mask: u8, other: u8) -> Vec<u8> {
    let none = u32::MAX;
    let entries =
        [(1_u16, user, none), (2, 5, 1000), (4, 4, none), (0x10, mask, none), (0x20, other, none)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::from(bits).to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// The members of a layer, of which none is there twice; `state` is what the image has then.
pub(super) fn apply(state: &mut State, plan: &Plan) -> Vec<Member> {
    let mut members = Vec::new();
    if let Some(meta) = &plan.root {
        let meta = fitting(meta.clone(), &Made::Directory, None, plan.dialect);
        state.put(b"", &What::Directory, &meta);
        members.push(Member { path: Vec::new(), what: What::Directory, meta });
    }
    for (opaque, which) in &plan.hidden {
        members.extend(hide(state, *opaque, *which));
    }
    // What this layer has said of already, and what it has files in.
    let mut said = BTreeSet::new();
    for step in &plan.steps {
        let Some(member) = member(state, step, plan.dialect, &said) else { continue };
        for (at, _) in member.path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            said.insert(member.path[..at].to_vec());
        }
        said.insert(member.path.clone());
        state.put(&member.path, &member.what, &member.meta);
        members.push(member);
    }
    members
}

/// A whiteout of something, or of all in a directory.
fn hide(state: &mut State, opaque: bool, which: Index) -> Option<Member> {
    let directories = state.paths(true);
    let path = if opaque {
        let path = which.get(&directories).clone();
        state.clear(&path);
        join(&path, b".wh..wh..opq")
    } else {
        let all: Vec<_> = [directories, state.paths(false)]
            .concat()
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect();
        let path = all.get(which.index(all.len().max(1)))?.clone();
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], &path[..]),
        };
        // The whiteout must have a name, too.
        if name.len() > 251 {
            return None;
        }
        state.remove(&path);
        join(parent, &[b".wh.", name].concat())
    };
    Some(Member { path, what: What::File(Vec::new()), meta: Meta::implied() })
}

fn member(
    state: &mut State,
    step: &Step,
    dialect: Dialect,
    said: &BTreeSet<Vec<u8>>,
) -> Option<Member> {
    let parent = step.parent.get(&state.paths(true)).clone();
    let parent = step.implied.iter().fold(parent, |at, name| join(&at, name));
    let path = join(&parent, &step.name);
    let what = match &step.made {
        Made::Directory => What::Directory,
        Made::File(bytes) => What::File(bytes.clone()),
        Made::Symlink(target) => What::Symlink(target.clone()),
        Made::Char(major, minor) => What::Char(*major, *minor),
        Made::Block(major, minor) => What::Block(*major, *minor),
        Made::Fifo => What::Fifo,
        Made::Link(which) => {
            let files = state.paths(false);
            What::Link(files.get(which.index(files.len().max(1)))?.clone())
        }
    };
    // What is replaced is gone, with all that was in it.
    let inside = join(&path, b"");
    if matches!(&what, What::Link(target) if target.starts_with(&inside)) {
        return None;
    }
    // Paths of folders on disk begin with the folder's own.
    let fits = path.len() < 3800 && !said.contains(&path) && what != What::Link(path.clone());
    if !fits || !state.clone().imply(&path) {
        return None;
    }
    state.imply(&path);
    let meta = fitting(step.meta.clone(), &step.made, step.acl, dialect);
    Some(Member { path, what, meta })
}
