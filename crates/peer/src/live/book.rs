//! The digests that are believed of a task's pieces.

use content::{PieceBook, SignedStatement, Statement, Verifier};
use wire::request::Kind;

use super::LiveTask;
use crate::failure::Failure;
use crate::lock::lock;

/// The known digests of a stored task's pieces: what a supernode once signed, as far as it is believed,
/// and what this node kept.
pub(crate) fn book(stored: &store::Task, verifier: &Verifier) -> PieceBook {
    let mut book = PieceBook::new(stored.id(), stored.layout());
    for statement in stored.statements() {
        // A statement of a former key or of another cut tells nothing any more.
        if let Ok(statement) = statement.believe(verifier) {
            let _ = book.learn(&statement);
        }
    }
    recall(&mut book, stored);
    book
}

/// A piece that this node once took from the origin itself and lost again must be what it was: the
/// whole is not hashed a second time while it counts as whole.
pub(super) fn recall(book: &mut PieceBook, stored: &store::Task) {
    for (index, digest) in stored.kept_digests() {
        book.recall(index, digest);
    }
}

impl LiveTask {
    /// The digests that are believed now.
    #[must_use]
    pub fn book(&self) -> PieceBook {
        lock(&self.book).clone()
    }

    /// Takes over a believed statement, in memory.
    ///
    /// # Errors
    /// If it is about another task or another cut of it.
    pub fn learn(&self, statement: &Statement) -> Result<(), content::verified::OtherTask> {
        lock(&self.book).learn(statement)
    }

    /// Takes over a statement and keeps it with the task, so that it outlives this process and can
    /// be told to others.
    ///
    /// # Errors
    /// If the cluster did not sign it, or it is not of this task.
    pub fn learn_signed(
        &self,
        signed: SignedStatement,
        verifier: &Verifier,
    ) -> Result<(), Failure> {
        let statement = signed
            .believe(verifier)
            .map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        self.learn(&statement).map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        if let Err(error) = self.stored.add_statement(signed, &statement) {
            tracing::warn!(task = %self.id(), %error, "a statement could not be kept");
        }
        Ok(())
    }
}
