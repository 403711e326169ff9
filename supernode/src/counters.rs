//! What is counted of nodes' talk, and how much of it was not believed.

use std::fmt::Write;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use telemetry::metrics::Metrics;

/// Something that a node said and that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// To hold pieces of a task of which nothing that it said was signed, or cut in another way.
    Claim,
    /// A statement that this cluster did not sign.
    Statement,
    /// To want a task that it did not open, or whose ticket has ended.
    Want,
    /// The end of a lease that is not its own.
    End,
}

impl EncodeLabelValue for Refused {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Claim => "claim",
            Self::Statement => "statement",
            Self::Want => "want",
            Self::End => "end",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: Refused,
}

/// The counters of the control streams. Clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    heard: Counter,
    refused: Family<What, Counter>,
}

impl Counters {
    /// Counters that `metrics` shows.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let heard = metrics.counter("node_messages", "Messages of nodes that were heard");
        let help = "Messages of nodes that were not believed: claims of pieces, statements, wants, ends of leases";
        let refused = metrics.counters("node_messages_refused", help);
        let counters = Self { heard, refused };
        for what in [Refused::Claim, Refused::Statement, Refused::Want, Refused::End] {
            counters.refused(what, 0);
        }
        counters
    }

    /// A message was heard.
    pub fn heard(&self) {
        self.heard.inc();
    }

    /// So many things were not believed.
    pub fn refused(&self, what: Refused, times: u64) {
        self.refused.get_or_create(&What { what }).inc_by(times);
    }
}
