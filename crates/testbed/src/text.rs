//! Bytes for files of tests.

/// Bytes that compress somewhat, other ones for each `seed`.
#[must_use]
pub fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length.saturating_add(32));
    while out.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(format!("{:x} is here; ", state >> 40).as_bytes());
    }
    out.truncate(length);
    out
}
