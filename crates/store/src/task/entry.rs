//! What the index keeps of a task. Nothing is written behind the task's removal.

use content::{PieceSet, SignedStatement, Statement};

use super::Task;
use crate::error::{IndexError, StoreError};
use crate::facts::Facts;
use crate::index::Index;
use crate::lock::lock;

impl Task {
    /// Keeps a statement of a supernode with the task; `statement` is what was believed of it.
    /// What it makes superfluous goes.
    ///
    /// # Errors
    /// If it is about another task, or the index refuses.
    pub fn add_statement(
        &self,
        signed: SignedStatement,
        statement: &Statement,
    ) -> Result<(), StoreError> {
        if statement.task() != self.id || statement.layout() != self.layout {
            return Err(StoreError::Foreign(self.id));
        }
        // It may tell the digests that doubtful pieces waited for, kept on disk or not.
        *lock(&self.doubtful) = PieceSet::none(self.layout.pieces());
        self.changed();
        let (run, whole) = (statement.run(), statement.is_whole());
        Ok(self.with_entry(|index| index.add_statement(&self.id, run, whole, &signed))?)
    }

    /// The statements that were kept. An index that cannot be read has none.
    #[must_use]
    pub fn statements(&self) -> Vec<SignedStatement> {
        self.shared.index.statements(&self.id).unwrap_or_else(|error| {
            tracing::warn!(task = %self.id, %error, "kept statements cannot be read");
            Vec::new()
        })
    }

    /// Takes over what the index knew of the task, now that it can be read.
    pub(crate) fn recall(&self, known: Facts, last_use: u64) {
        if known.layout() != Some(self.layout) {
            return;
        }
        self.shared.quota.touch(&self.account, last_use);
        let pin = known.pinned.then(|| self.shared.quota.pin(&self.account)).flatten();
        if pin.is_some() {
            *lock(&self.operator_pin) = pin;
        }
        let complete = self.file.held() == self.layout.length();
        let mut facts = lock(&self.facts);
        facts.pinned |= known.pinned;
        if facts.media_type.is_empty() {
            facts.media_type = known.media_type;
        }
        if complete && facts.whole.is_none() {
            facts.whole = known.whole;
        }
    }

    /// Changes what is known of the task, here and then in the index.
    pub(crate) fn update_facts(&self, change: impl FnOnce(&mut Facts)) -> Result<(), IndexError> {
        let mut facts = lock(&self.facts);
        let before = facts.clone();
        change(&mut facts);
        if *facts == before || self.is_gone() {
            return Ok(());
        }
        self.shared.index.set_facts(&self.id, &facts)
    }

    /// Writes to the task's part of the index, unless the task was removed: nothing is written
    /// behind its removal.
    pub(crate) fn with_entry(
        &self,
        write: impl FnOnce(&Index) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let _facts = lock(&self.facts);
        if self.is_gone() {
            return Ok(());
        }
        write(&self.shared.index)
    }

    /// For index writes whose loss only costs something later.
    pub(crate) fn log_index(&self, outcome: Result<(), IndexError>) {
        if let Err(error) = outcome {
            tracing::warn!(task = %self.id, %error, "the store's index was not written");
        }
    }
}
