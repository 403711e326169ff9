//! A bootstrap while it is checked: in memory if it is short, else in a file without a name that is
//! mapped. It may have 2 GiB, of which nothing is known yet, and this process serves other mounts too.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use sys::Mapping;

/// So many bytes are held in memory: the bootstrap of some hundred thousand files.
const SHORT: u64 = 64 << 20;

/// All that `data` gives; what is long lies in `folder`, where `make_room` has its say once if the
/// disk is full.
///
/// # Errors
/// Those of `data` and of the disk.
pub(super) fn held(data: &mut dyn Read, folder: &Path, make_room: &dyn Fn()) -> io::Result<Bytes> {
    held_so(data, folder, make_room, SHORT)
}

fn held_so(
    data: &mut dyn Read,
    folder: &Path,
    make_room: &dyn Fn(),
    short: u64,
) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    data.take(short).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < short {
        return Ok(bytes.into());
    }
    let mut file = Roomy { file: tempfile::tempfile_in(folder)?, make_room: Some(make_room) };
    let length = io::copy(&mut bytes.as_slice(), &mut file)?;
    drop(bytes);
    let length = length.saturating_add(io::copy(data, &mut file)?);
    // Nobody else can reach it: it is neither changed nor made shorter under the mapping.
    Ok(Bytes::from_owner(Mapping::of(&file.file, 0..length)?))
}

/// A file on a disk on which room can be made once.
struct Roomy<'a> {
    file: File,
    make_room: Option<&'a dyn Fn()>,
}

impl Write for Roomy<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.file.write(bytes), self.make_room) {
            (Err(error), Some(make_room)) if error.kind() == io::ErrorKind::StorageFull => {
                make_room();
                self.make_room = None;
                self.file.write(bytes)
            }
            (done, _) => done,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_or_long_it_is_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        for short in [0, 1, 4096, 9_999, 10_000, 10_001] {
            let held = held_so(&mut &bytes[..], folder.path(), &|| {}, short.max(1)).unwrap();
            assert!(held == bytes, "{short}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
