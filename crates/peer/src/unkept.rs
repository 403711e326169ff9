//! A task whose pieces the store does not keep: they pass through memory, and all the same every
//! reader gets the whole, verified blob. Reasons stand in docs/full-disk.md.
//!
//! A task becomes unkept when the store first refuses a piece of it. From then on little is asked for
//! ahead of its readers, and a piece is held until all who come to it have passed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use content::{PieceDigest, PieceIndex, PieceSet, Provisional, Run, Verified};
use store::PutError;

use crate::blocking::blocking;
use crate::demand::Want;
use crate::live::{End, LiveTask};
use crate::lock::lock;
use crate::metrics::Source;
use crate::passing::{Admitted, Needs, before_the_pass};

/// Where pieces are only handed on, one that nobody fetches gives its place up after so long.
const UNFETCHED: Duration = Duration::from_secs(5);

/// So many pieces between the SHA-256 pass and what is looked at are walked over; more are not in
/// memory.
const WALK: u32 = 4096;

impl LiveTask {
    /// Takes in a verified piece; its bytes came from `source`. Where the store does not keep it, it
    /// is passed on from memory.
    ///
    /// # Errors
    /// If it is not a piece of this task, or there is no room for it now.
    pub async fn put(self: &Arc<Self>, piece: Verified, source: Source) -> Result<(), PutError> {
        self.metrics.received(source, piece.bytes().len() as u64);
        let live = Arc::clone(self);
        blocking(move || {
            let kept = live.try_store(|| live.stored().put(&piece));
            live.or_pass(kept, piece.index(), piece.bytes(), true)
        })
        .await
    }

    /// Takes in a piece that is not yet known to be right, for this node's own readers. Where the
    /// store does not keep it, it is passed on from memory.
    ///
    /// # Errors
    /// If it is not a piece of this task, or there is no room for it now.
    pub async fn put_provisional(
        self: &Arc<Self>,
        piece: Provisional,
        source: Source,
    ) -> Result<(), PutError> {
        self.metrics.received(source, piece.bytes().len() as u64);
        let live = Arc::clone(self);
        blocking(move || {
            let kept = live.try_store(|| live.stored().put_provisional(&piece));
            live.or_pass(kept, piece.index(), piece.bytes(), false)
        })
        .await
    }

    /// Lets the store keep a piece; where it has no room, idle tasks are let go of first, so that
    /// they can be evicted.
    fn try_store(&self, put: impl Fn() -> Result<(), PutError>) -> Result<(), PutError> {
        let kept = put();
        match &kept {
            Err(PutError::OverQuota { .. } | PutError::Full { .. }) if !self.is_unkept() => {
                self.sweep_others();
                put()
            }
            _ => kept,
        }
    }

    fn or_pass(
        self: &Arc<Self>,
        kept: Result<(), PutError>,
        index: PieceIndex,
        bytes: &Bytes,
        verified: bool,
    ) -> Result<(), PutError> {
        let Err(refusal) = kept else {
            return Ok(());
        };
        let disk = match &refusal {
            PutError::Foreign { .. } => false,
            // A task without a place says so of every piece; a removed one is over.
            PutError::Gone { .. } => self.is_placeless(),
            _ => true,
        };
        if !disk {
            return Err(refusal);
        }
        if !verified && !self.agrees(index, bytes) {
            return Err(refusal);
        }
        let first = self.become_unkept(&refusal);
        let admitted = self.admit(index, bytes, verified);
        if first {
            self.replan();
        }
        match admitted {
            Admitted::Refused => Err(refusal),
            Admitted::Held => {
                self.metrics.unkept(bytes.len() as u64);
                self.stored().changed();
                Ok(())
            }
            Admitted::Passed => Ok(()),
        }
    }

    /// A provisional piece that comes again is the one that the SHA-256 pass saw, or none.
    fn agrees(&self, index: PieceIndex, bytes: &Bytes) -> bool {
        let agrees = lock(&self.passing).agrees(index, PieceDigest::of(bytes));
        if !agrees {
            let message = format!("piece {index} came twice from its origin, and not the same");
            self.fail(crate::Failure::new(wire::request::Kind::Mismatch, message));
        }
        agrees
    }

    fn admit(&self, index: PieceIndex, bytes: &Bytes, verified: bool) -> Admitted {
        let most = self.share().map_or(u64::MAX, |share| share.bytes());
        // What is handed on to others is needed, whoever reads it here.
        let readers = if self.serves { Vec::new() } else { self.readers() };
        let hash = self.hash_run();
        let needs = Needs { readers: &readers, hash };
        lock(&self.passing).admit(index, bytes.clone(), verified, &needs, most)
    }

    fn become_unkept(&self, why: &PutError) -> bool {
        let mut first = false;
        self.unkept.get_or_init(|| {
            first = true;
            self.budget.share()
        });
        if first {
            tracing::warn!(task = %self.id(), %why, "the store does not keep it; it is passed on from memory");
        }
        first
    }

    /// Whether pieces of it pass through memory, for want of a place on the disk.
    #[must_use]
    pub fn is_unkept(&self) -> bool {
        self.share().is_some()
    }

    /// Whether piece `index` is here, kept or not, provisional or not.
    #[must_use]
    pub fn has_local(&self, index: PieceIndex) -> bool {
        self.stored().has_local(index) || (self.is_unkept() && lock(&self.passing).has(index))
    }

    /// The pieces that may be claimed: verified now, or in an earlier run of this process.
    #[must_use]
    pub fn present(&self) -> PieceSet {
        let mut pieces = self.stored().present();
        if self.is_unkept() {
            lock(&self.passing).add_to(&mut pieces, false);
        }
        pieces
    }

    /// The pieces that a reader on this node may have: present ones and provisional ones.
    #[must_use]
    pub fn local(&self) -> PieceSet {
        let mut pieces = self.stored().local();
        if self.is_unkept() {
            lock(&self.passing).add_to(&mut pieces, true);
        }
        pieces
    }

    /// Of the pieces of a report that is told just now: those that have gone since, and of which
    /// nobody will be told by himself.
    #[must_use]
    pub fn gone_of(&self, told: &PieceSet) -> PieceSet {
        let mut gone = told.clone();
        gone.difference_with(&self.present());
        let passing = lock(&self.passing);
        for index in told.iter().filter(|index| passing.is_going(*index)) {
            gone.remove(index);
        }
        gone
    }

    /// A piece in memory, for a reader on this node.
    pub(crate) fn passing_local(&self, index: PieceIndex) -> Option<Bytes> {
        self.share()?;
        lock(&self.passing).get(index)
    }

    /// A piece in memory, for somebody else.
    pub(crate) fn passing_verified(&self, index: PieceIndex) -> Option<Bytes> {
        self.share()?;
        lock(&self.passing).verified(index)
    }

    /// Somebody was sent a piece.
    pub(crate) fn was_sent(&self, index: PieceIndex) {
        if self.is_unkept() {
            lock(&self.passing).sent(index);
            self.stored().changed();
        }
    }

    /// Waits until there is room for `length` bytes, where pieces are only handed on: until somebody
    /// has fetched some, or it has taken too long and what nobody fetches goes.
    pub(crate) async fn until_room(&self, length: u64) {
        let mut changes = self.changes();
        let deadline = tokio::time::Instant::now() + UNFETCHED;
        while let Some(share) = self.share() {
            changes.borrow_and_update();
            let late = tokio::time::Instant::now() >= deadline;
            let readers = self.readers();
            let needs = Needs { readers: &readers, hash: self.hash_run() };
            let room = lock(&self.passing).make_room(length, &needs, share.bytes(), late);
            self.tell_gone(Run::EMPTY);
            if room || late {
                return;
            }
            let _ = tokio::time::timeout_at(deadline, changes.changed()).await;
        }
    }

    /// Drops what nobody needs any more. A supernode's pieces stay for those who will be sent to it.
    pub(crate) fn release_passed(&self) {
        if self.is_unkept() && !self.serves {
            let readers = self.readers();
            let needs = Needs { readers: &readers, hash: self.hash_run() };
            lock(&self.passing).release(&needs);
        }
    }

    /// The last reader has gone: what was passed is forgotten, and whoever comes next begins anew.
    pub(crate) fn end_passing(&self) {
        if self.is_unkept() && !self.serves && self.spend() {
            lock(&self.passing).clear();
        } else {
            self.release_passed();
        }
    }

    /// Tells that pieces have gone which others may know to be here, but of those in `wanted`.
    pub(crate) fn tell_gone(&self, wanted: Run) {
        let gone = lock(&self.passing).take_gone(self.layout().pieces(), wanted);
        if !gone.is_empty() {
            self.plan.lost(self.id(), gone);
        }
    }

    /// The want of an unkept task: some pieces ahead of the reader that waits, the one behind of
    /// several; nothing, if all that is ahead is here.
    pub(crate) fn narrowed(&self, all: Want) -> Option<Want> {
        let Some(share) = self.share() else {
            return Some(all);
        };
        let readers = self.readers();
        let lead = self.waiting_reader().or_else(|| readers.iter().map(|r| r.reader_at).min())?;
        let end = readers.iter().map(|reader| reader.run.end).max()?;
        let run = Run {
            first: lead,
            end: end.min(lead.saturating_add(share.ahead(self.layout().piece_size().bytes()))),
        };
        let missing =
            (run.first..end.min(run.first.saturating_add(WALK))).any(|i| !self.has_local(i));
        missing.then_some(Want { run, reader_at: lead, ..all })
    }

    /// How many pieces a reader moves before the plan is told: some, but of a narrow want fewer.
    pub(crate) fn step(&self, usual: u32) -> u32 {
        let size = self.layout().piece_size().bytes();
        self.share().map_or(usual, |share| (share.ahead(size) / 4).clamp(1, usual))
    }

    /// The pieces from where the SHA-256 pass is to the first that is not here: it will come to them,
    /// and needs them.
    fn hash_run(&self) -> Run {
        let end = self.layout().pieces().min(self.hashed().saturating_add(WALK));
        before_the_pass(|| self.hashed(), |index| self.has_local(index), end)
    }

    /// Whether the SHA-256 pass will come to the end with what is here now.
    pub(crate) fn comes_whole(&self) -> bool {
        let end = self.layout().pieces();
        before_the_pass(|| self.hashed(), |index| self.has_local(index), end).end == end
    }

    /// Waits while the SHA-256 pass is far behind a reader at `index`: what it has not seen stays in
    /// memory.
    pub(crate) async fn until_hash_is_near(&self, index: PieceIndex) {
        let mut changes = self.changes();
        while let Some(share) = self.share() {
            changes.borrow_and_update();
            let hashed = self.hashed();
            let near = hashed.saturating_add(share.ahead(self.layout().piece_size().bytes()));
            let goes_on = self.has_local(hashed) && matches!(*self.end().borrow(), End::Open);
            if index <= near || !goes_on || self.is_over() || changes.changed().await.is_err() {
                return;
            }
        }
    }
}
