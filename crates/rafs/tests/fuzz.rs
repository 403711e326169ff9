//! Fuzz targets. `cargo test` runs their corpus and some inputs by chance; `cargo bolero test`
//! searches for as long as it is told to, led by coverage.
//!
//! Bytes by chance rarely get beyond a magic, so the inputs are changes to a good image.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::sync::LazyLock;

use support::{exercise, small};

/// A good image: its bootstrap and its blob.
static GOOD: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let built = small::image(true);
    (built.image.write().unwrap(), built.blob.to_vec())
});

/// `good` with bytes changed, each so far after the one before.
fn changed(good: &[u8], changes: &[(u16, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let mut at = 0;
    for (step, value) in changes {
        at = (at + usize::from(*step)) % bytes.len();
        bytes[at] = *value;
    }
    bytes
}

#[test]
fn bootstrap_changed() {
    bolero::check!().with_type::<Vec<(u16, u8)>>().for_each(|changes| {
        let _ = exercise::bootstrap(&changed(&GOOD.0, changes));
    });
}

#[test]
fn bootstrap_any() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = exercise::bootstrap(bytes);
    });
}

#[test]
fn blob_changed() {
    bolero::check!().with_type::<Vec<(u16, u8)>>().for_each(|changes| {
        exercise::blob(&GOOD.0, &changed(&GOOD.1, changes));
    });
}

#[test]
fn blob_any() {
    bolero::check!().for_each(|bytes: &[u8]| exercise::blob(&GOOD.0, bytes));
}
