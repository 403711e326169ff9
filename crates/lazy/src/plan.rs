//! What is prefetched, in which order: what whoever mounts the image names, what the image's own list
//! names, then all of its blobs.
//!
//! Nothing is fetched here, and nothing is remembered of the chunks: a plan walks the metadata as far
//! as it is asked. What was verified it leaves out; what an earlier run has left is to be checked.
//! Lists may say anything: each file and directory is walked once, whatever names it and however often,
//! so that a plan takes no more steps than the metadata has names and chunks.

use std::collections::HashSet;
use std::vec;

use rafs::bootstrap::{FileType, Inode, Nid};
use rafs::{Bootstrap, ChunkInfo};

use crate::run::{Run, place};

/// So many entries of an image's own list count; what stands behind them is left out. No list that is
/// meant to be fetched first is so long.
pub const LONGEST_LIST: usize = 1 << 16;

/// How much is prefetched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Extent {
    /// What the lists name; a directory in them means all below.
    Listed,
    /// That first, then the rest of all blobs.
    All,
}

/// What is to be fetched next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Chunks that are stored behind one another.
    Run(Run),
    /// A chunk that lies in a batch, with which others come.
    Batched(ChunkInfo),
    /// A chunk that an earlier run has left: whether it is right is to be seen, and nobody is asked.
    Check(ChunkInfo),
}

/// What is known of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is here, and was verified since the start.
    Verified,
    /// An earlier run has left it, and nobody has looked.
    Recorded,
    /// It is not here.
    Missing,
}

impl Step {
    /// How many bytes are asked for; of a batch it is not known, and its chunk's length stands for it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Run(run) => run.length,
            Self::Batched(chunk) => u64::from(chunk.uncompressed_size),
            Self::Check(_) => 0,
        }
    }

    /// How many bytes the chunks have that are to come by it, uncompressed.
    #[must_use]
    pub fn uncompressed(&self) -> u64 {
        let size = |chunk: &ChunkInfo| u64::from(chunk.uncompressed_size);
        match self {
            Self::Run(run) => run.chunks.iter().map(size).sum(),
            Self::Batched(chunk) => size(chunk),
            Self::Check(_) => 0,
        }
    }
}

/// What is still to be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Left {
    /// How many chunks.
    pub chunks: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
}

/// Where in the image a plan stands; by default at its end.
#[derive(Clone, Default, Debug)]
pub struct Plan {
    /// What is left of the lists.
    listed: vec::IntoIter<Nid>,
    /// The directories that are being walked, each with the place of its next entry.
    open: Vec<(Nid, u64)>,
    /// A file or directory is walked once, whatever names it.
    walked: HashSet<Nid>,
    /// The file whose chunks come now, and the next one's number.
    file: Option<(Inode, usize)>,
    /// The next chunk of all blobs: blob and number.
    rest: Option<(u8, u32)>,
    /// What did not go with those before it.
    pending: Option<ChunkInfo>,
}

impl Plan {
    /// For the image of this bootstrap; what is `first` comes before the image's own list.
    ///
    /// An own list of the root alone is what converters write for whoever named nothing. It means
    /// everything, and counts as no list: everything is what [`Extent::All`] is for.
    #[must_use]
    pub fn new<B: AsRef<[u8]>>(bootstrap: &Bootstrap<B>, first: &[Nid], extent: Extent) -> Self {
        let mut own: Vec<Nid> = bootstrap.prefetch().take(LONGEST_LIST).collect();
        if own == [bootstrap.root()] {
            own.clear();
        }
        let listed = [first, own.as_slice()].concat();
        Self {
            listed: listed.into_iter(),
            open: Vec::new(),
            walked: HashSet::new(),
            file: None,
            rest: (extent == Extent::All).then_some((0, 0)),
            pending: None,
        }
    }

    /// The next step, of at most `most` stored bytes where it can be cut so, over chunks that are
    /// not verified.
    pub fn next<B: AsRef<[u8]>>(
        &mut self,
        bootstrap: &Bootstrap<B>,
        most: u64,
        standing: impl Fn(&ChunkInfo) -> Standing,
    ) -> Option<Step> {
        let mut run: Option<Run> = None;
        loop {
            let Some(chunk) = self.pending.take().or_else(|| self.chunk(bootstrap)) else {
                return run.map(Step::Run);
            };
            if run.as_ref().is_some_and(|run| run.chunks.last() == Some(&chunk)) {
                continue;
            }
            match (standing(&chunk), &run) {
                (Standing::Verified, _) => continue,
                (Standing::Recorded, None) => return Some(Step::Check(chunk)),
                (Standing::Recorded, Some(_)) => {
                    self.pending = Some(chunk);
                    return run.map(Step::Run);
                }
                (Standing::Missing, _) => {}
            }
            match (&mut run, place(&chunk)) {
                (None, None) => return Some(Step::Batched(chunk)),
                (None, Some((offset, size))) => {
                    let length = u64::from(size);
                    run = Some(Run { chunks: vec![chunk], offset, length });
                }
                (Some(open), Some((offset, size))) if open.takes(&chunk, offset, size, most) => {
                    open.add(chunk, size);
                }
                (Some(_), _) => {
                    self.pending = Some(chunk);
                    return run.map(Step::Run);
                }
            }
        }
    }

    /// How much is to come that is not `here`, each chunk counted once. Takes as many steps as that
    /// has names and chunks.
    #[must_use]
    pub fn left<B: AsRef<[u8]>>(
        mut self,
        bootstrap: &Bootstrap<B>,
        here: impl Fn(&ChunkInfo) -> bool,
    ) -> Left {
        let (mut left, mut seen) = (Left::default(), HashSet::new());
        while let Some(chunk) = self.pending.take().or_else(|| self.chunk(bootstrap)) {
            if !here(&chunk) && seen.insert((chunk.blob, chunk.index)) {
                left.chunks = left.chunks.saturating_add(1);
                left.bytes = left.bytes.saturating_add(u64::from(chunk.uncompressed_size));
            }
        }
        left
    }

    /// The next chunk, whether it is here or not. What the metadata has wrong is left out: its
    /// reader is told.
    fn chunk<B: AsRef<[u8]>>(&mut self, bootstrap: &Bootstrap<B>) -> Option<ChunkInfo> {
        loop {
            if let Some((inode, number)) = &mut self.file {
                let chunks = bootstrap.chunks(inode);
                let chunk = chunks.and_then(|chunks| {
                    (*number < chunks.len()).then(|| chunks.get(*number)).transpose()
                });
                *number = number.saturating_add(1);
                if let Ok(Some(chunk)) = chunk {
                    return Some(chunk.info);
                }
                self.file = None;
            } else if let Some(nid) = self.name(bootstrap) {
                self.enter(bootstrap, nid);
            } else {
                return self.of_all(bootstrap);
            }
        }
    }

    /// The next name below the directories that are open, or of the lists.
    fn name<B: AsRef<[u8]>>(&mut self, bootstrap: &Bootstrap<B>) -> Option<Nid> {
        while let Some((nid, at)) = self.open.last_mut() {
            let directory = bootstrap.inode(*nid).and_then(|inode| bootstrap.directory(&inode));
            let next = directory.ok().and_then(|directory| directory.entries_from(*at).next());
            if let Some(Ok(entry)) = next {
                *at = entry.next;
                if !entry.is_dot() {
                    return Some(entry.nid);
                }
            } else {
                self.open.pop();
            }
        }
        self.listed.next()
    }

    fn enter<B: AsRef<[u8]>>(&mut self, bootstrap: &Bootstrap<B>, nid: Nid) {
        let Ok(inode) = bootstrap.inode(nid) else { return };
        match inode.file_type {
            FileType::Regular if self.walked.insert(nid) => self.file = Some((inode, 0)),
            FileType::Directory if self.walked.insert(nid) => self.open.push((nid, 0)),
            _ => {}
        }
    }

    /// The next chunk of all blobs, in the order in which they are numbered.
    fn of_all<B: AsRef<[u8]>>(&mut self, bootstrap: &Bootstrap<B>) -> Option<ChunkInfo> {
        loop {
            let (blob, number) = self.rest?;
            let chunks = bootstrap.blobs().get(usize::from(blob)).map(|blob| blob.chunks);
            self.rest = match chunks {
                None => None,
                Some(chunks) if number < chunks => Some((blob, number.saturating_add(1))),
                Some(_) => blob.checked_add(1).map(|blob| (blob, 0)),
            };
            if chunks.is_some_and(|chunks| number < chunks)
                && let Some(chunk) = bootstrap.chunk_of(blob, number)
            {
                return Some(chunk);
            }
        }
    }
}
