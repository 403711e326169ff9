//! What an operator may say to a supernode; the defaults work.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use peer::StoreOptions;
use registry::RegistriesConfig;
use serde::{Deserialize, Serialize};
use telemetry::logs::LogConfig;
use telemetry::units::Rate;

/// The configuration file `/etc/meganeura/supernode.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the cluster's identity and the blob cache are kept.
    pub state_dir: PathBuf,
    /// This supernode's name in its certificate.
    pub name: String,
    /// The HTTP API: health and metrics.
    pub http: Http,
    /// Where nodes come in.
    pub nodes: Nodes,
    /// The blob cache.
    pub store: StoreOptions,
    /// Whose facts are believed for how long.
    pub access: AccessTimes,
    /// The registries that may be asked.
    pub registries: RegistriesConfig,
    /// Logs.
    pub log: LogConfig,
    /// How long a stop may take before what is still running is cut off.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

/// The HTTP API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Where nodes come in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nodes {
    /// UDP and TCP address.
    pub listen: SocketAddr,
    /// How nodes reach it: host and port, written into the join string.
    pub advertise: Vec<String>,
    /// How many runs of pieces the cache sends at once.
    pub upload_slots: u32,
    /// How many of them to one node, so that one that takes its bytes slowly does not keep the
    /// others waiting.
    pub upload_slots_per_node: u32,
    /// How fast it sends at most.
    pub upload_limit: Rate,
    /// How many connections of nodes there are at once: over QUIC, and as many over TCP.
    pub max_connections: usize,
    /// How many QUIC connections one node has at once; a newer one closes the oldest.
    pub max_connections_per_node: usize,
    /// How many requests one connection has under way at once; more wait with the node.
    pub max_streams: u32,
}

/// Whose facts are believed for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessTimes {
    /// A registry's grant to a caller: a revoked credential stops after so long.
    #[serde(with = "humantime_serde")]
    pub readable: Duration,
    /// That a repository holds a blob.
    #[serde(with = "humantime_serde")]
    pub holds: Duration,
    /// A node's ticket for a task: pulls go on for so long without a supernode.
    #[serde(with = "humantime_serde")]
    pub ticket: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/meganeura/supernode".into(),
            name: "supernode".into(),
            http: Http::default(),
            nodes: Nodes::default(),
            store: StoreOptions::default(),
            access: AccessTimes::default(),
            registries: RegistriesConfig::default(),
            log: LogConfig::default(),
            grace: Duration::from_secs(20),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8001)) }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8002)),
            advertise: Vec::new(),
            upload_slots: 64,
            upload_slots_per_node: 32,
            upload_limit: Rate::default(),
            max_connections: 20_000,
            max_connections_per_node: 8,
            max_streams: 256,
        }
    }
}

impl Default for AccessTimes {
    fn default() -> Self {
        Self {
            readable: Duration::from_secs(5 * 60),
            holds: Duration::from_secs(60 * 60),
            ticket: Duration::from_secs(24 * 60 * 60),
        }
    }
}
