//! Ours and the baseline in turns, so that a noisy minute falls on both.

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Ours.
    Ours,
    /// What ours is compared with.
    Baseline,
}

/// What one round gave.
#[derive(Clone, Copy, Debug)]
pub struct Turn<T> {
    /// Ours.
    pub ours: T,
    /// What ours is compared with.
    pub baseline: T,
}

/// Measures both sides in each of `rounds` rounds; who is first changes from round to round.
///
/// # Errors
/// The first that `measure` gives.
pub fn in_turns<T>(
    rounds: usize,
    mut measure: impl FnMut(Side) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<Turn<T>>> {
    let turn = |round: usize| {
        eprintln!("round {} of {rounds}", round + 1);
        if round.is_multiple_of(2) {
            let baseline = measure(Side::Baseline)?;
            Ok(Turn { ours: measure(Side::Ours)?, baseline })
        } else {
            let ours = measure(Side::Ours)?;
            Ok(Turn { ours, baseline: measure(Side::Baseline)? })
        }
    };
    (0..rounds).map(turn).collect()
}
