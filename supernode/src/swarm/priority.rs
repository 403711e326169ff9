//! The priorities of the scheduler and of the wire, each as the other has it.

use wire::control;

/// The scheduler's priority as the wire has it.
pub(super) const fn wire_priority(priority: schedule::Priority) -> control::Priority {
    match priority {
        schedule::Priority::Blocked => control::Priority::Blocked,
        schedule::Priority::Pull => control::Priority::Pull,
        schedule::Priority::Prefetch => control::Priority::Prefetch,
        schedule::Priority::Preheat => control::Priority::Preheat,
    }
}

/// The wire's priority as the scheduler has it.
#[must_use]
pub const fn schedule_priority(priority: control::Priority) -> schedule::Priority {
    match priority {
        control::Priority::Blocked => schedule::Priority::Blocked,
        control::Priority::Pull => schedule::Priority::Pull,
        control::Priority::Prefetch => schedule::Priority::Prefetch,
        control::Priority::Preheat => schedule::Priority::Preheat,
    }
}
