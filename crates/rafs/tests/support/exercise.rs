//! Asks everything of an image that may be anything: it must end, and not panic.

use rafs::bootstrap::FileType;
use rafs::ci::{CompressionInfo, Location};
use rafs::codec::Decoder;
use rafs::section::{SectionName, Toc, sections};
use rafs::{Bootstrap, RafsError};

/// Parses, checks and reads all that a bootstrap says.
///
/// # Errors
/// The first thing that [`Bootstrap::check`] finds; the rest is asked all the same.
pub fn bootstrap(bytes: &[u8]) -> Result<(), RafsError> {
    let bootstrap = Bootstrap::parse(bytes)?;
    // This checks it first.
    let checked = bootstrap.image();
    let mut left = 1000;
    for visit in bootstrap.walk() {
        let Ok(visit) = visit else { break };
        let inode = visit.inode;
        let _ = inode.device();
        let _ = bootstrap.target(&inode);
        let _ = bootstrap.xattrs(&inode).map(|xattrs| xattrs.count());
        // What is said to be long must end with the bytes that there are.
        let _ = bootstrap.chunks(&inode).map(|chunks| chunks.iter().count());
        if inode.file_type == FileType::Directory {
            let _ = bootstrap.lookup(&inode, b"some name");
            let _ = bootstrap.directory(&inode).map(|dir| dir.entries_from(4097).count());
        }
        left -= 1;
        if left == 0 {
            break;
        }
    }
    let _ = bootstrap.prefetch().count();
    checked.map(|_| ())
}

/// Reads a blob by what itself and its bootstrap say.
pub fn blob(bootstrap: &[u8], blob: &[u8]) {
    let _ = sections(blob);
    if let Ok((toc, _)) = Toc::read(blob, blob.len() as u64) {
        for entry in toc.entries.iter().filter(|entry| entry.section.name != SectionName::Data) {
            let range = usize::try_from(entry.section.offset).ok().zip(
                entry
                    .section
                    .offset
                    .checked_add(entry.section.size)
                    .and_then(|end| end.try_into().ok()),
            );
            let _ = range
                .and_then(|(begin, end): (usize, usize)| blob.get(begin..end))
                .map(|b| entry.open(b));
        }
    }
    let Ok(bootstrap) = Bootstrap::parse(bootstrap) else { return };
    let Some(known) = bootstrap.blobs().first() else { return };
    let Some(stored) = usize::try_from(known.ci.offset).ok().and_then(|at| blob.get(at..)) else {
        return;
    };
    let _ = CompressionInfo::from_file(known, &bytes::Bytes::copy_from_slice(stored));
    let Ok(info) = CompressionInfo::from_blob(known, stored) else { return };
    let mut decoder = Decoder::new();
    for row in (0..).take(bootstrap.chunk_count()) {
        let Ok(chunk) = bootstrap.chunk(row) else { return };
        let part = |offset: u64, size: u32| {
            let at = usize::try_from(offset).ok()?;
            blob.get(at..at.checked_add(size as usize)?).map(bytes::Bytes::copy_from_slice)
        };
        let digester = bootstrap.digester();
        let open = match info.locate(&chunk) {
            Ok(Location::Alone { offset, size }) => part(offset, size)
                .and_then(|part| decoder.open(&chunk, known.compressor, digester, &part).ok()),
            Ok(Location::Batched { batch, at }) => part(batch.offset, batch.compressed_size)
                .and_then(|part| decoder.open_batch(&batch, known.compressor, &part).ok())
                .and_then(|batch| batch.chunk(&chunk, digester, at).ok()),
            Err(_) => None,
        };
        // Whatever was done to the blob: what comes out is the chunk.
        assert!(open.is_none_or(|open| digester.digest(open.bytes()) == chunk.digest));
    }
}
