//! One data blob, read once, front to back: its digest, and every chunk that the image uses.
//!
//! One thread reads and hashes the blob; the others decompress and compare chunks. What waits
//! between them is bounded, so memory does not grow with the blob.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use content::{BlobHasher, Digest};
use image::causes;
use rafs::ondisk::blob::features;
use rafs::section::Section;
use rafs::{Blob, BlobId, ChunkDigest, ChunkInfo};

use crate::opened::{ChunkReader, OpenError, Opened, ReadAt};

use super::pieces::{Piece, What, pieces};
use super::{Findings, Problem, tables};

/// Who is told how far it is.
pub trait Progress: Sync {
    /// So many more bytes of blobs were read.
    fn read(&self, bytes: u64);
}

/// Nobody.
impl Progress for () {
    fn read(&self, _: u64) {}
}

/// How much of a blob is read at once where no piece says, in bytes.
const STEP: u64 = 1 << 20;

/// How many pieces may wait for each thread.
const WAITING: usize = 4;

/// A piece with its bytes.
struct Job {
    piece: Piece,
    stored: Bytes,
}

/// What the threads found together.
#[derive(Default)]
struct Found {
    chunks: u64,
    bytes: u64,
    wrong: Vec<(ChunkDigest, String)>,
}

/// Checks blob `number`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn check(
    opened: &Opened,
    number: u8,
    threads: usize,
    progress: &dyn Progress,
    findings: &mut Findings,
) -> Result<(), OpenError> {
    let blob = opened.blob(number)?;
    let id = blob.id;
    let bytes = Arc::clone(opened.bytes_of(number)?);
    findings.problems.extend(other_length(blob, bytes.length()));
    let tables = tables::check(opened, number, &*bytes)?;
    findings.problems.extend(tables.problems);
    let info = match opened.info_of(number) {
        Ok(info) => Arc::clone(info),
        Err(error) if error.is_fault() => {
            let why = causes(&error);
            findings.problems.push(Problem::Blob { blob: id, why });
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let (pieces, lost) = pieces(&opened.image().chunks, number, &info);
    findings.problems.extend(lost.into_iter().map(|(chunk, error)| Problem::Chunk {
        chunk: chunk.digest,
        blob: id,
        why: error.to_string(),
        files: Vec::new(),
    }));
    let found = Mutex::new(Found::default());
    let digest = std::thread::scope(|scope| {
        let (jobs, queue) = sync_channel(threads.saturating_mul(WAITING).max(1));
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.max(1) {
            let (queue, found) = (Arc::clone(&queue), &found);
            scope.spawn(move || work(opened, &queue, found));
        }
        drop(queue);
        read(&*bytes, id, pieces, &jobs, progress)
    })?;
    findings.blob_bytes = findings.blob_bytes.saturating_add(bytes.length());
    settle(findings, id, found);
    if !is_named(id, digest, &*bytes, tables.digests)? {
        findings.problems.push(Problem::Blob { blob: id, why: format!("its bytes are {digest}") });
    }
    Ok(())
}

/// Whether a blob has another length than the bootstrap says. One with a bootstrap in it goes on
/// behind what that can know of.
fn other_length(blob: &Blob, length: u64) -> Option<Problem> {
    let said = blob.compressed_size;
    let goes_on = blob.features.has(features::INLINED_BOOTSTRAP) && said < length;
    let why = format!("it has {length} bytes, and the bootstrap says {said}");
    (said != length && !goes_on).then_some(Problem::Blob { blob: blob.id, why })
}

/// What the threads found, told.
fn settle(findings: &mut Findings, id: BlobId, found: Mutex<Found>) {
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.chunks = findings.chunks.saturating_add(found.chunks);
    findings.chunk_bytes = findings.chunk_bytes.saturating_add(found.bytes);
    let wrong = found.wrong.into_iter();
    findings.problems.extend(wrong.map(|(chunk, why)| Problem::Chunk {
        chunk,
        blob: id,
        why,
        files: Vec::new(),
    }));
}

/// Whether a blob of this digest may have that name.
///
/// `nydus-image` does not hash the section of chunk digests when it names a blob that it writes
/// into a folder; that section has its own digest in the table of contents.
fn is_named(
    id: BlobId,
    digest: Digest,
    bytes: &dyn ReadAt,
    unhashed: Option<Section>,
) -> Result<bool, OpenError> {
    let BlobId::Digest(said) = id else { return Ok(true) };
    let (true, Some(section)) = (said != digest, unhashed) else { return Ok(said == digest) };
    let mut hasher = BlobHasher::new();
    let end = section.offset.saturating_add(section.size);
    for (mut at, end) in [(0, section.offset), (end, bytes.length())] {
        while at < end {
            let step = STEP.min(end.saturating_sub(at));
            let read = bytes.read_at(at, step);
            hasher.update(&read.map_err(OpenError::read(format_args!("blob {id}")))?);
            at = at.saturating_add(step);
        }
    }
    Ok(hasher.finish() == said)
}

/// Reads all of the blob in order, hashes it, and hands the pieces on.
fn read(
    bytes: &dyn ReadAt,
    id: BlobId,
    pieces: Vec<Piece>,
    jobs: &SyncSender<Job>,
    progress: &dyn Progress,
) -> Result<Digest, OpenError> {
    let failed = || OpenError::read(format!("blob {id}"));
    let mut hasher = BlobHasher::new();
    let mut take = |offset: u64, size: u64| -> Result<Bytes, OpenError> {
        let read = bytes.read_at(offset, size).map_err(failed())?;
        hasher.update(&read);
        progress.read(size);
        Ok(read)
    };
    let mut at = 0_u64;
    for piece in pieces {
        while at < piece.offset {
            let step = STEP.min(piece.offset.saturating_sub(at));
            take(at, step)?;
            at = at.saturating_add(step);
        }
        let stored = if at == piece.offset {
            at = at.saturating_add(piece.size);
            take(piece.offset, piece.size)?
        } else {
            // Two pieces overlap: what was hashed is not hashed again.
            bytes.read_at(piece.offset, piece.size).map_err(failed())?
        };
        // Nobody takes it only if all threads are gone, and those say why themselves.
        let _ = jobs.send(Job { piece, stored });
    }
    while at < bytes.length() {
        let step = STEP.min(bytes.length().saturating_sub(at));
        take(at, step)?;
        at = at.saturating_add(step);
    }
    Ok(hasher.finish())
}

fn work(opened: &Opened, queue: &Mutex<Receiver<Job>>, found: &Mutex<Found>) {
    let mut reader = ChunkReader::new(opened);
    let mut mine = Found::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { break };
        open(opened, &mut reader, &job, &mut mine);
    }
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    found.chunks = found.chunks.saturating_add(mine.chunks);
    found.bytes = found.bytes.saturating_add(mine.bytes);
    found.wrong.extend(mine.wrong);
}

fn open(opened: &Opened, reader: &mut ChunkReader<'_>, job: &Job, found: &mut Found) {
    let mut tell = |chunk: &ChunkInfo, why: Option<String>| {
        found.chunks = found.chunks.saturating_add(1);
        found.bytes = found.bytes.saturating_add(u64::from(chunk.uncompressed_size));
        found.wrong.extend(why.map(|why| (chunk.digest, why)));
    };
    match &job.piece.what {
        What::Alone(chunk) => {
            let wrong = reader.open(chunk, &job.stored).err();
            tell(chunk, wrong.map(|error| cause(&error)));
        }
        What::Batch(batch, chunks) => {
            let Some((first, _)) = chunks.first() else { return };
            let batch = reader.open_batch(first, batch, &job.stored);
            let batch = batch.map_err(|error| cause(&error));
            let digester = opened.image().digester;
            for (chunk, at) in chunks {
                let wrong = match &batch {
                    Ok(batch) => batch.chunk(chunk, digester, *at).err().map(|e| e.to_string()),
                    Err(why) => Some(why.clone()),
                };
                tell(chunk, wrong);
            }
        }
    }
}

/// Why, without what: the problem names that itself.
fn cause(error: &OpenError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
