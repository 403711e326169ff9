//! What the tests share: samples of others, images made here, trees by chance.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

pub mod build;
pub mod chance;
pub mod exercise;
pub mod files;
pub mod small;

/// Says that a test is left out; nothing may be in CI.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to: {why}");
    eprintln!("SKIPPED: {why}");
}
