//! One link that all answers of a registry share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// So many bytes wait in a connection for who does not read.
const SENT_AHEAD: usize = 64 * 1024;

/// The link: when its next part may go. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Link(Arc<Mutex<Option<Instant>>>);

impl Link {
    /// Waits until the parts before and this one have gone, at so many bytes a second.
    pub(super) async fn pass(&self, bytes: usize, rate: usize) {
        let gone = {
            let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let begins = free.map_or(now, |free| free.max(now));
            let gone = begins + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *free = Some(gone);
            gone
        };
        tokio::time::sleep_until(gone.into()).await;
    }
}

/// Has little wait in this connection: a long way's buffers would hide who is sent what.
pub(super) fn narrow(stream: &TcpStream) {
    // Where the kernel refuses, more waits there, and a test says so.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(stream, SENT_AHEAD);
}
