//! What nodes say was once signed of tasks: kept as far as this cluster did sign it, and as far as
//! it says more than what is known, so that nobody fills our memory with it.

use std::collections::{BTreeMap, HashMap};

use content::{Layout, PieceSet, SignedStatement, Statement, TaskId, Verifier};

/// So many statements of one message may turn out to be nobody's before the rest is not looked at:
/// each costs a verification.
const DISBELIEVED: usize = 8;

/// The believed statements, by task.
#[derive(Debug, Default)]
pub(super) struct Claims {
    tasks: HashMap<TaskId, Known>,
}

/// What was signed of one task.
#[derive(Debug)]
struct Known {
    layout: Layout,
    /// The pieces whose digests the kept statements tell.
    described: PieceSet,
    whole: bool,
    /// By signature, so that what many nodes tell is verified once.
    statements: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Claims {
    /// Those of `statements` that are not kept already.
    pub(super) fn news(
        &self,
        task: &TaskId,
        mut statements: Vec<SignedStatement>,
    ) -> Vec<SignedStatement> {
        if let Some(known) = self.tasks.get(task) {
            statements.retain(|told| known.statements.get(&told.signature) != Some(&told.body));
        }
        statements
    }

    /// Keeps what says more than what is known.
    pub(super) fn keep(&mut self, believed: Vec<(Statement, SignedStatement)>) {
        for (statement, signed) in believed {
            let known = self.tasks.entry(statement.task()).or_insert_with(|| Known {
                layout: statement.layout(),
                described: PieceSet::none(statement.layout().pieces()),
                whole: false,
                statements: BTreeMap::new(),
            });
            known.take(&statement, signed);
        }
    }

    /// A task's cut, as it was signed.
    pub(super) fn layout(&self, task: &TaskId) -> Option<Layout> {
        self.tasks.get(task).map(|known| known.layout)
    }

    /// All that is known to have been signed of a task.
    pub(super) fn signed(&self, task: &TaskId) -> Vec<SignedStatement> {
        let statements = self.tasks.get(task).into_iter().flat_map(|known| &known.statements);
        statements
            .map(|(signature, body)| SignedStatement {
                body: body.clone(),
                signature: signature.clone(),
            })
            .collect()
    }

    pub(super) fn forget(&mut self, task: &TaskId) {
        self.tasks.remove(task);
    }
}

impl Known {
    fn take(&mut self, statement: &Statement, signed: SignedStatement) {
        if statement.layout() != self.layout {
            return;
        }
        let described = statement.run().iter().all(|index| self.described.contains(index));
        let first = self.statements.is_empty();
        if described && !first && (self.whole || !statement.is_whole()) {
            return;
        }
        self.described.insert_run(statement.run());
        self.whole |= statement.is_whole();
        self.statements.insert(signed.signature, signed.body);
    }
}

/// Those of `statements` that this cluster signed of `task`, and how many it did not.
pub(super) fn believed(
    task: &TaskId,
    statements: Vec<SignedStatement>,
    verifier: &Verifier,
) -> (Vec<(Statement, SignedStatement)>, usize) {
    let mut disbelieved = 0;
    let mut believed = Vec::new();
    for signed in statements {
        match signed.believe(verifier) {
            Ok(statement) if statement.task() == *task => believed.push((statement, signed)),
            _ => disbelieved += 1,
        }
        if disbelieved >= DISBELIEVED {
            break;
        }
    }
    (believed, disbelieved)
}

#[cfg(test)]
mod tests {
    use content::statement::Said;
    use content::{Digest, PieceDigest, Signer};

    use super::*;

    const TASK: TaskId = TaskId::Url([7; 32]);

    fn signer() -> Signer {
        Signer::from_seed(&[1; 32]).expect("32 bytes")
    }

    fn said(first: u32, count: usize, whole: bool) -> SignedStatement {
        let layout = Layout::for_length(1 << 20).expect("within bounds");
        let digests = vec![PieceDigest::of(b"x"); count];
        let said = Said { task: TASK, layout, whole, media_type: String::new(), first, digests };
        Statement::sign(said, &signer()).1
    }

    #[test]
    fn what_says_nothing_new_is_not_kept() {
        let mut claims = Claims::default();
        let mut hear = |told: SignedStatement| {
            let news = claims.news(&TASK, vec![told]);
            let (believed, _) = believed(&TASK, news, &signer().verifier());
            claims.keep(believed);
            claims.signed(&TASK).len()
        };
        assert_eq!(hear(said(0, 8, false)), 1);
        assert_eq!(hear(said(0, 8, false)), 1, "told again");
        assert_eq!(hear(said(2, 3, false)), 1, "a part of what is known");
        assert_eq!(hear(said(4, 8, false)), 2, "more");
        assert_eq!(hear(said(0, 0, true)), 3, "whole");
        assert_eq!(hear(said(1, 1, true)), 3, "whole is known");
    }

    #[test]
    fn what_the_cluster_did_not_sign_of_the_task_is_nothing() {
        let stranger = Signer::from_seed(&[2; 32]).expect("32 bytes");
        let layout = Layout::for_length(5).expect("within bounds");
        let media_type = String::new();
        let forged =
            Said { task: TASK, layout, whole: true, media_type, first: 0, digests: Vec::new() };
        let (_, forged) = Statement::sign(forged, &stranger);
        let other = TaskId::Blob(Digest::of(b"other"));
        let verifier = signer().verifier();
        let (kept, no) = believed(&TASK, vec![forged.clone(), said(0, 1, false)], &verifier);
        assert_eq!((kept.len(), no), (1, 1));
        assert_eq!(believed(&other, vec![said(0, 1, false)], &verifier).0.len(), 0);
        assert_eq!(believed(&TASK, vec![forged; 10_000], &verifier).1, DISBELIEVED);
    }
}
