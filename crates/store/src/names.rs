//! A task's name as a file name and as an index key.

use std::path::{Path, PathBuf};

use content::{Digest, TaskId};

/// The files of a task, without their extension, under the store's `tasks` folder.
pub(crate) fn stem(tasks: &Path, id: &TaskId) -> PathBuf {
    let (kind, raw) = parts(id);
    let encoded = hex::encode(raw);
    let name = format!("{kind}-{encoded}");
    tasks.join(&encoded[..2]).join(name)
}

/// The task and the extension that a file name under the sub-folder `folder` stands for.
pub(crate) fn parse(folder: &str, name: &str) -> Option<(TaskId, Part)> {
    let (stem, extension) = name.split_once('.')?;
    let part = match extension {
        "data" => Part::Data,
        "map" => Part::Map,
        _ => return None,
    };
    let (kind, encoded) = stem.split_once('-')?;
    // The parsers of `content` know the one spelling that a name has.
    let id: TaskId = match kind {
        "blob" => format!("sha256:{encoded}").parse().ok()?,
        "url" => format!("url:{encoded}").parse().ok()?,
        _ => return None,
    };
    encoded.starts_with(folder).then_some((id, part))
}

/// Which of a task's two files a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Data,
    Map,
}

/// A task's key in the index: its kind and its name, 33 bytes, so that all keys of one task share
/// a prefix that is no prefix of another's.
pub(crate) fn key(id: &TaskId) -> [u8; 33] {
    let (kind, raw) = match id {
        TaskId::Blob(digest) => (0, digest.as_bytes()),
        TaskId::Url(raw) => (1, raw),
    };
    let mut key = [kind; 33];
    key[1..].copy_from_slice(raw);
    key
}

/// The task that a key stands for.
pub(crate) fn task(key: &[u8]) -> Option<TaskId> {
    let (kind, raw) = key.split_first()?;
    let raw: [u8; 32] = raw.try_into().ok()?;
    match kind {
        0 => Some(TaskId::Blob(Digest::from_bytes(raw))),
        1 => Some(TaskId::Url(raw)),
        _ => None,
    }
}

const fn parts(id: &TaskId) -> (&'static str, &[u8; 32]) {
    match id {
        TaskId::Blob(digest) => ("blob", digest.as_bytes()),
        TaskId::Url(raw) => ("url", raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_task() {
        for id in [TaskId::Blob(Digest::of(b"x")), TaskId::Url([0xab; 32])] {
            let path = stem(Path::new("tasks"), &id).with_extension("data");
            let folder = path.parent().unwrap().file_name().unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let parsed = parse(folder.to_str().unwrap(), name);
            assert_eq!(parsed, Some((id, Part::Data)));
            assert_eq!(parse("zz", name), None);
            assert_eq!(task(&key(&id)), Some(id));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let name = format!("blob-{}", "a".repeat(64));
        for bad in ["", ".", "x", &name, &format!("{name}.map.new"), "blob-a.map"] {
            assert_eq!(parse("aa", bad), None, "{bad}");
        }
        assert_eq!(task(&[0; 32]), None);
        assert_eq!(task(&[2; 33]), None);
    }
}
