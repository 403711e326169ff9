//! What the engine counts: bytes by where they came from, and what was refused.

use std::fmt::Write;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Where a node's bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The registry or server itself.
    Origin,
    /// The supernode's cache.
    Supernode,
    /// Another node.
    Peer,
    /// This node's own store.
    Store,
}

impl EncodeLabelValue for Source {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Origin => "origin",
            Self::Supernode => "supernode",
            Self::Peer => "peer",
            Self::Store => "store",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: Source,
}

/// The engine's counters. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    received: Family<SourceLabel, Counter>,
    sent: Counter,
    unkept: Counter,
    verified: Counter,
    rejected: Counter,
    refused: Counter,
}

impl Metrics {
    /// Shows the counters in `registry`, whose prefix names the binary.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "received_bytes",
            "Verified bytes by where they came from: origin, supernode, peer, store (already here)",
            self.received.clone(),
        );
        registry.register("sent_bytes", "Bytes of pieces sent to peers", self.sent.clone());
        registry.register(
            "unkept_bytes",
            "Bytes that were passed on from memory because the store did not keep them",
            self.unkept.clone(),
        );
        registry.register(
            "blobs_verified",
            "Tasks whose whole SHA-256 was checked and matched",
            self.verified.clone(),
        );
        registry.register(
            "pieces_rejected",
            "Pieces that were refused because their bytes did not match",
            self.rejected.clone(),
        );
        registry.register(
            "fetches_refused",
            "Requests for pieces that were refused for want of a valid ticket",
            self.refused.clone(),
        );
        for source in [Source::Origin, Source::Supernode, Source::Peer, Source::Store] {
            self.received(source, 0);
        }
    }

    /// Counts verified bytes that came from `source`.
    pub fn received(&self, source: Source, bytes: u64) {
        self.received.get_or_create(&SourceLabel { source }).inc_by(bytes);
    }

    /// How many verified bytes came from `source`.
    #[must_use]
    pub fn received_from(&self, source: Source) -> u64 {
        self.received.get_or_create(&SourceLabel { source }).get()
    }

    /// Counts bytes sent to a peer.
    pub fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }

    /// Counts bytes that the store did not keep.
    pub fn unkept(&self, bytes: u64) {
        self.unkept.inc_by(bytes);
    }

    /// Counts a task whose whole SHA-256 matched.
    pub fn verified(&self) {
        self.verified.inc();
    }

    /// How many tasks were verified whole.
    #[must_use]
    pub fn verified_count(&self) -> u64 {
        self.verified.get()
    }

    /// Counts a piece whose bytes did not match.
    pub fn rejected(&self) {
        self.rejected.inc();
    }

    /// How many pieces did not match.
    #[must_use]
    pub fn rejected_count(&self) -> u64 {
        self.rejected.get()
    }

    /// Counts a request without a valid ticket.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// How many requests had no valid ticket.
    #[must_use]
    pub fn refused_count(&self) -> u64 {
        self.refused.get()
    }
}
