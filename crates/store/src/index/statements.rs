//! The statements about a task: a new one replaces what it covers.

use content::{Run, SignedStatement, TaskId};
use sled::Batch;

use super::Index;
use crate::error::IndexError;
use crate::names;

impl Index {
    /// Keeps a statement about `run`, unless it says nothing new; the ones that it makes
    /// superfluous go.
    pub(crate) fn add_statement(
        &self,
        id: &TaskId,
        run: Run,
        whole: bool,
        signed: &SignedStatement,
    ) -> Result<(), IndexError> {
        self.with(|trees| {
            let mut batch = Batch::default();
            for entry in trees.statements.scan_prefix(names::key(id)).keys() {
                let key = entry?;
                let Some((other, other_whole)) = statement_key(&key) else {
                    batch.remove(key);
                    continue;
                };
                if covers((other, other_whole), (run, whole))
                    && (other, other_whole) != (run, whole)
                {
                    return Ok(());
                }
                if covers((run, whole), (other, other_whole)) {
                    batch.remove(key);
                }
            }
            let length = u32::try_from(signed.body.len()).unwrap_or(u32::MAX);
            let value = [&length.to_be_bytes(), &*signed.body, &*signed.signature].concat();
            let key = [
                &names::key(id)[..],
                &run.first.to_be_bytes(),
                &run.end.to_be_bytes(),
                &[u8::from(whole)],
            ];
            batch.insert(key.concat(), value);
            Ok(trees.statements.apply_batch(batch)?)
        })
    }

    /// The statements about a task, as they came.
    pub(crate) fn statements(&self, id: &TaskId) -> Result<Vec<SignedStatement>, IndexError> {
        self.with(|trees| {
            let entries = trees.statements.scan_prefix(names::key(id)).values();
            let read = entries.filter_map(|value| match value {
                Ok(value) => statement(&value).map(Ok),
                Err(error) => Some(Err(error.into())),
            });
            read.collect()
        })
    }
}

fn statement_key(key: &[u8]) -> Option<(Run, bool)> {
    let (_, rest) = key.split_first_chunk::<33>()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let run = Run { first: u32::from_be_bytes(*first), end: u32::from_be_bytes(*end) };
    Some((run, *rest.first()? == 1))
}

/// Whether a statement about `a` makes one about `b` superfluous: it covers its pieces, and was
/// said of the whole if the other was.
const fn covers(a: (Run, bool), b: (Run, bool)) -> bool {
    let pieces = a.0.first <= b.0.first && b.0.end <= a.0.end;
    pieces && (a.1 || !b.1)
}

fn statement(value: &[u8]) -> Option<SignedStatement> {
    let (length, rest) = value.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (body, signature) = rest.split_at_checked(length)?;
    Some(SignedStatement { body: body.to_vec(), signature: signature.to_vec() })
}
