//! End to end, with real parts.
