//! The tree against that of the ordinary image that it was made from, contents and all.

use rafs::{ChunkDigest, Content};
use tree::Tree;

use crate::compare::{Judge, compare};
use crate::layers::Hashed;
use crate::opened::Opened;

use super::Problem;

struct ByDigests<'a>(&'a Opened);

impl Judge<Content, Hashed> for ByDigests<'_> {
    fn same_content(&mut self, a: &Content, b: &Hashed) -> bool {
        a.size == b.size && self.0.chunks_of(a).map(digest).eq(b.chunks.iter().copied())
    }
}

fn digest(chunk: &rafs::ChunkInfo) -> ChunkDigest {
    chunk.digest
}

/// What of the chunked image is not as the ordinary one has it, whose layers were read with the
/// chunk size and the digest of the chunked one.
#[must_use]
pub fn compare_with(opened: &Opened, ordinary: &Tree<Hashed>) -> Vec<Problem> {
    let differences = compare(opened.tree(), ordinary, &mut ByDigests(opened));
    differences.into_iter().map(Problem::Differs).collect()
}
