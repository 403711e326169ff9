//! Orders come in while the process stays, and none is lost when it ends.
//!
//! A process ends with its last mount, and an order may come that very moment. Whoever is let in is
//! waited for; once the door is shut, who comes is told so, and starts a process of its own.

use std::sync::Mutex;

use crate::lock::lock;

/// The door.
#[derive(Debug, Default)]
pub struct Door(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    inside: usize,
    shut: bool,
}

/// Somebody who was let in.
#[derive(Debug)]
pub struct Inside<'a>(&'a Door);

impl Door {
    /// Lets somebody in; `None` if it is shut.
    #[must_use]
    pub fn enter(&self) -> Option<Inside<'_>> {
        let mut state = lock(&self.0);
        if state.shut {
            return None;
        }
        state.inside = state.inside.saturating_add(1);
        Some(Inside(self))
    }

    /// Shuts for good if nobody is inside and `idle` says that nothing holds the process; whether it
    /// is shut.
    pub fn shut(&self, idle: impl FnOnce() -> bool) -> bool {
        let mut state = lock(&self.0);
        state.shut = state.shut || (state.inside == 0 && idle());
        state.shut
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        state.inside = state.inside.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shuts_when_nobody_is_inside_and_stays_shut() {
        let door = Door::default();
        let inside = door.enter().unwrap();
        assert!(!door.shut(|| true), "somebody is inside");
        drop(inside);
        assert!(!door.shut(|| false), "something holds the process");
        assert!(door.enter().is_some());
        assert!(door.shut(|| true) && door.shut(|| false));
        assert!(door.enter().is_none());
    }
}
