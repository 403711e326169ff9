//! What one endpoint bears: connections, streams, memory, patience.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{IdleTimeout, TransportConfig, VarInt};

/// The bounds of one endpoint.
#[derive(Clone, Debug)]
pub struct Limits {
    /// So many connections at once, QUIC and bulk each.
    pub max_connections: usize,
    /// So many of them from one peer; a newer one closes the oldest, so that a peer that died and
    /// came back is not locked out by its own ghosts.
    pub max_connections_per_peer: usize,
    /// So many handshakes under way at once, QUIC and bulk each; a quarter of them from one address.
    pub max_handshakes: usize,
    /// So many streams at once that a peer may open on one connection.
    pub max_streams: u32,
    /// A connection on which nothing comes for so long is gone.
    pub idle_timeout: Duration,
    /// So often an idle connection is probed.
    pub keep_alive: Duration,
    /// A connection that we opened and nobody has used for so long is closed.
    pub unused_timeout: Duration,
    /// A handshake may take so long.
    pub handshake_timeout: Duration,
    /// The first message of a stream may take so long.
    pub request_timeout: Duration,
    /// A peer that takes nothing of what we send for so long has stalled.
    pub stall_timeout: Duration,
    /// So many bytes of one stream wait for a slow reader.
    pub stream_window: u32,
    /// So many bytes of one connection wait for slow readers.
    pub connection_window: u32,
    /// So many bytes of one connection are sent and not yet acknowledged.
    pub send_window: u64,
    /// Bulk bytes travel over TCP where that can be had; otherwise the TCP port stays closed too.
    pub bulk_over_tcp: bool,
    /// So many bulk connections at once to one peer.
    pub max_bulk_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_peer: 8,
            max_handshakes: 256,
            max_streams: 256,
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(5),
            unused_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            // 2 MiB in 20 ms are 100 MB/s.
            stream_window: 2 << 20,
            connection_window: 8 << 20,
            send_window: 4 << 20,
            bulk_over_tcp: true,
            max_bulk_per_peer: 16,
        }
    }
}

impl Limits {
    /// For a supernode: many nodes, each of which sends little.
    #[must_use]
    pub fn supernode() -> Self {
        Self {
            max_connections: 20_000,
            max_handshakes: 1024,
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            ..Self::default()
        }
    }

    /// The same for quinn.
    pub(crate) fn transport(&self) -> Arc<TransportConfig> {
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(self.max_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(Some(self.keep_alive))
            .stream_receive_window(VarInt::from_u32(self.stream_window))
            .receive_window(VarInt::from_u32(self.connection_window))
            .send_window(self.send_window)
            // Measured: BBR costs half as much CPU again and is slower (examples/bulk_cost).
            .congestion_controller_factory(Arc::new(CubicConfig::default()));
        Arc::new(config)
    }
}
