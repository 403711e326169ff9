//! Where the SHA-256 pass is, and what of the way before it is here.

use content::{PieceIndex, Run};

/// The pieces from where the pass is to the first that is not here, or to `end`.
///
/// The pass goes on while this looks, and what it has seen may go at once. A piece that is missing
/// where the pass was a moment ago is no gap before it: so where it is is asked again at the end, and
/// everything anew if it has moved.
pub(crate) fn before_the_pass(
    pass: impl Fn() -> PieceIndex,
    is_here: impl Fn(PieceIndex) -> bool,
    end: PieceIndex,
) -> Run {
    loop {
        let first = pass();
        let gap = (first..end).find(|index| !is_here(*index)).unwrap_or_else(|| end.max(first));
        if pass() == first {
            return Run { first, end: gap };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_ends_at_the_first_gap() {
        let here = [4, 5, 6, 8];
        let run = before_the_pass(|| 4, |index| here.contains(&index), 10);
        assert_eq!(run, Run { first: 4, end: 7 });
        assert!(before_the_pass(|| 7, |index| here.contains(&index), 10).is_empty());
        assert_eq!(before_the_pass(|| 10, |_| false, 10), Run { first: 10, end: 10 });
    }

    /// Between the question where the pass is and the look at that piece, the pass sees all, and
    /// what it has seen goes: a blob of which the last piece is about to be given out.
    #[test]
    fn what_goes_because_the_pass_has_seen_it_is_no_gap() {
        let (pass, looked) = (Cell::new(128), Cell::new(false));
        let here = RefCell::new((128..144).collect::<BTreeSet<_>>());
        let is_here = |index| {
            if !looked.replace(true) {
                pass.set(142);
                here.borrow_mut().retain(|index| *index >= 142);
            }
            here.borrow().contains(&index)
        };
        assert_eq!(before_the_pass(|| pass.get(), is_here, 144), Run { first: 142, end: 144 });
    }
}
