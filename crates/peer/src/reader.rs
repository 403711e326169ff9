//! A range of a task, in order, as it arrives.
//!
//! Step 4 of the walk. The reader says what it wants and where it is; the plan behind the task
//! fetches in whatever order is best for the swarm. When everything is here, the last piece waits
//! for the SHA-256 of the whole, so that no answer is ever complete and wrong.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use content::PieceIndex;
use wire::control::Priority;
use wire::request::Kind;

use crate::demand::Want;
use crate::failure::Failure;
use crate::live::{DemandGuard, End, LiveTask, ahead};

/// How far an open-ended range looks ahead: the client of such a range often goes away after a
/// part of it (containerd's parallel fetch does), so the whole tail is not fetched for it.
const LOOKAHEAD: u32 = 64;

/// A reader of a range of a task. It ends after the range's last byte, or with an error.
#[derive(Debug)]
pub struct Reader {
    live: Arc<LiveTask>,
    demand: Option<DemandGuard>,
    _lease: store::Lease,
    at: u64,
    end: u64,
    window: Option<u32>,
    priority: Priority,
    /// Whether it reads all of the task: then its last byte waits for the proof of the whole.
    whole: bool,
    tries: u32,
}

/// How eagerly a reader's range is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Eagerness {
    /// All of it: the client asked for all of it and will take it.
    All,
    /// A window ahead of the reader: the client may go away any time.
    Window,
}

impl Reader {
    pub(crate) fn new(
        live: Arc<LiveTask>,
        range: Range<u64>,
        priority: Priority,
        eagerness: Eagerness,
    ) -> Self {
        let length = live.layout().length();
        let end = range.end.min(length);
        let lease = live.stored().lease();
        let mut reader = Self {
            live,
            demand: None,
            _lease: lease,
            at: range.start.min(end),
            end,
            window: (eagerness == Eagerness::Window).then_some(LOOKAHEAD),
            priority,
            whole: range.start == 0 && end == length,
            tries: 0,
        };
        reader.ask();
        reader
    }

    /// The next bytes; `None` after the last one.
    ///
    /// # Errors
    /// Why the rest cannot be had.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while self.at < self.end {
            let index = self.live.layout().piece_at(self.at);
            self.until_here(index).await?;
            if self.is_last(index) {
                self.until_whole().await?;
            }
            match self.live.read_local(index).await {
                Ok(Some(piece)) => return Ok(Some(self.part(index, &piece))),
                // It was here and is no more what it was; the plan fetches it again.
                Ok(None) => self.lost_again(index)?,
                Err(error) => return Err(self.live.cause(error.to_string()).await),
            }
        }
        self.demand = None;
        Ok(None)
    }

    async fn until_here(&mut self, index: PieceIndex) -> Result<(), Failure> {
        self.live.until_hash_is_near(index).await;
        if self.live.has_local(index) {
            return Ok(());
        }
        if self.demand.is_none() {
            // All of it was here, and the SHA-256 pass or another reader found it damaged.
            self.ask();
        }
        if let Some(demand) = &self.demand {
            demand.waits(true);
        }
        let here = self.live.until_local(index).await;
        if let Some(demand) = &self.demand {
            demand.waits(false);
        }
        here
    }

    /// The part of `piece` that the range still wants.
    fn part(&mut self, index: PieceIndex, piece: &Bytes) -> Bytes {
        let start = u64::from(index) * self.live.layout().piece_size().bytes();
        let end = (start + piece.len() as u64).min(self.end);
        let within = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        let part = piece.slice(within(self.at)..within(end));
        self.at = end;
        self.tries = 0;
        self.ask();
        part
    }

    fn is_last(&self, index: PieceIndex) -> bool {
        index + 1 == self.live.layout().pieces()
    }

    /// Waits for the whole's SHA-256. Who reads all of the task gets its end only with the proof; a
    /// reader of the tail of a task that nobody fetches whole has each piece's own digest.
    async fn until_whole(&self) -> Result<(), Failure> {
        let mut end = self.live.end();
        let mut changes = self.live.changes();
        loop {
            match &*end.borrow_and_update() {
                End::Whole => return Ok(()),
                End::Failed(failure) => return Err(failure.clone()),
                End::Open => {}
            }
            if self.live.is_over() {
                return Err(self.live.why_stopped().await);
            }
            changes.borrow_and_update();
            if !self.live.comes_whole() {
                return self.unproven();
            }
            let _ = tokio::select! {
                changed = end.changed() => changed,
                changed = changes.changed() => changed,
            };
        }
    }

    /// The SHA-256 pass will not come to the end with what is here.
    fn unproven(&self) -> Result<(), Failure> {
        if self.whole && !matches!(*self.live.end().borrow(), End::Whole) {
            let why = "pieces were lost before the whole was verified; ask again";
            return Err(Failure::new(Kind::Other, why));
        }
        Ok(())
    }

    fn lost_again(&mut self, index: PieceIndex) -> Result<(), Failure> {
        self.tries += 1;
        if self.tries > 3 && !self.live.is_unkept() {
            return Err(Failure::new(
                Kind::Other,
                format!("piece {index} cannot be kept: the disk loses it again and again"),
            ));
        }
        // It is told anew, before the former demand ends: without any, all that has come would go.
        self.demand = Some(self.live.demand(self.want()));
        Ok(())
    }

    fn want(&self) -> Want {
        let all = self.live.layout().covering(self.at..self.end);
        let run = ahead(all.first, all.end, self.window);
        Want { run, reader_at: run.first, priority: self.priority }
    }

    /// Tells the plan what is wanted from here on; nothing, if all of it is here.
    fn ask(&mut self) {
        let want = self.want();
        let run = want.run;
        match &mut self.demand {
            Some(demand) => demand.moved(want),
            None if run.iter().all(|index| self.live.stored().has_local(index))
                && self.window.is_none() => {}
            None => self.demand = Some(self.live.demand(want)),
        }
    }
}
