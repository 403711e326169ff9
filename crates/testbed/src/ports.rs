//! Ports that nobody uses.

use std::net::{TcpListener, UdpSocket};

/// A loopback port that is free for TCP and UDP now.
///
/// # Panics
/// If the machine has no free port left.
#[must_use]
pub fn free() -> u16 {
    for _ in 0..100 {
        let Ok(listener) = TcpListener::bind("127.0.0.1:0") else {
            continue;
        };
        let Ok(address) = listener.local_addr() else {
            continue;
        };
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
    panic!("no free port on loopback");
}
