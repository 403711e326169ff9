//! Ports that nobody uses.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections, so that none is
/// taken between being found free and being used.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that is free for TCP and UDP now, and that this process was not given before.
///
/// # Panics
/// If the machine has no free port left.
#[must_use]
pub fn free() -> u16 {
    // Test processes that run side by side begin at different places.
    let start = u16::try_from(std::process::id() % 20).unwrap_or(0) * (COUNT / 20);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let address = ("127.0.0.1", port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback");
}
