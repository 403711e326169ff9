//! What has come from the origin becomes a piece: attested in a supernode, provisional on a node.

use std::sync::Arc;

use content::statement::Said;
use content::{PieceIndex, Provisional, Statement, Unverified};
use wire::request::Kind;

use super::{Belief, Inner};
use crate::failure::Failure;
use crate::live::LiveTask;
use crate::metrics::Source;

pub(super) async fn keep(
    inner: &Inner,
    live: &Arc<LiveTask>,
    index: PieceIndex,
    bytes: Unverified,
) -> Result<(), Failure> {
    let short = || Failure::new(Kind::Origin, "the registry sent fewer bytes than it announced");
    match &inner.belief {
        Belief::Attest(attestor) => {
            if live.book().digest(index).is_some() {
                // It was said before what the origin sends: that stands.
                let piece = live.book().verify(index, bytes)?;
                return patiently(live, || live.put(piece.clone(), Source::Origin)).await;
            }
            let (piece, digest) =
                attestor.attest(live.id(), live.layout(), index, bytes).ok_or_else(short)?;
            let said = Said {
                task: live.id(),
                layout: live.layout(),
                whole: false,
                media_type: live.stored().media_type(),
                first: index,
                digests: vec![digest],
            };
            let (_, signed) = Statement::sign(said, attestor.signer());
            live.learn_signed(signed, &inner.engine.verifier())?;
            patiently(live, || live.put(piece.clone(), Source::Origin)).await
        }
        // A supernode signed this piece's digest before it went away: no need to wait for the whole.
        Belief::Provisional if live.book().digest(index).is_some() => {
            let piece = live.book().verify(index, bytes)?;
            patiently(live, || live.put(piece.clone(), Source::Origin)).await
        }
        Belief::Provisional => {
            let piece =
                Provisional::new(live.id(), live.layout(), index, bytes).ok_or_else(short)?;
            patiently(live, || live.put_provisional(piece.clone(), Source::Origin)).await
        }
    }
}

/// A piece without room is put again after so long at the latest.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(3);

/// Puts a piece. One for which there is no room in memory now waits until its readers are further.
async fn patiently<F>(live: &Arc<LiveTask>, put: impl Fn() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), store::PutError>>,
{
    let mut changes = live.changes();
    loop {
        changes.borrow_and_update();
        let Err(error) = put().await else {
            return Ok(());
        };
        if !live.is_unkept() || live.is_over() || live.want().is_none() {
            return Err(Failure::new(Kind::Other, error.to_string()));
        }
        let _ = tokio::time::timeout(AGAIN, changes.changed()).await;
    }
}
