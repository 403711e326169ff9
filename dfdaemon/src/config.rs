//! What an operator may say to a node; the defaults work, but for the join string.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use peer::StoreOptions;
use registry::RegistriesConfig;
use serde::{Deserialize, Serialize};
use telemetry::logs::LogConfig;
use telemetry::secret::Secret;
use telemetry::units::Rate;

/// The configuration file `/etc/meganeura/dfdaemon.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the node's identity and its store are kept.
    pub state_dir: PathBuf,
    /// The node's name in its certificate; empty means the host's name.
    pub node: String,
    /// The registry mirror.
    pub mirror: Mirror,
    /// The swarm.
    pub peers: Peers,
    /// The door for `dfget` and `nydusd`.
    pub local: Local,
    /// Health and metrics.
    pub admin: Admin,
    /// How to find the cluster.
    pub supernode: Supernode,
    /// The store.
    pub store: StoreOptions,
    /// The registries that may be asked.
    pub registries: RegistriesConfig,
    /// Logs.
    pub log: LogConfig,
    /// How long a stop may take before what is still running is cut off.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

/// The registry mirror.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Where it listens: loopback, for the container engine of this node.
    pub listen: SocketAddr,
}

/// The swarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// UDP and TCP address.
    pub listen: SocketAddr,
    /// Where other nodes reach this one, if not at the address that the supernode sees.
    pub address: Option<SocketAddr>,
    /// How many runs of pieces it sends at once.
    pub upload_slots: u32,
    /// How many of them to one node, so that one that takes its bytes slowly does not keep the
    /// others waiting.
    pub upload_slots_per_node: u32,
    /// How fast it sends at most.
    pub upload_limit: Rate,
    /// How fast it receives at most.
    pub download_limit: Rate,
    /// How many connections of others it has at once: over QUIC, and as many over TCP.
    pub max_connections: usize,
    /// How many QUIC connections one other node has at once; a newer one closes the oldest.
    pub max_connections_per_node: usize,
    /// How many requests one connection has under way at once; more wait with the asker.
    pub max_streams: u32,
    /// The node's zone, for nearness.
    pub zone: String,
    /// The node's rack, for nearness.
    pub rack: String,
}

/// Health and metrics.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where they are shown.
    pub listen: SocketAddr,
}

/// The door for `dfget` and `nydusd`: a unix socket, mode 0660.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// The socket's path.
    pub socket: PathBuf,
}

/// How to find the cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supernode {
    /// The join string, as `supernode join-string` prints it.
    pub join: Secret,
    /// A file that holds the join string; read if `join` is empty.
    pub join_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/meganeura/dfdaemon".into(),
            node: String::new(),
            mirror: Mirror::default(),
            peers: Peers::default(),
            local: Local::default(),
            admin: Admin::default(),
            supernode: Supernode::default(),
            store: StoreOptions::default(),
            registries: RegistriesConfig::default(),
            log: LogConfig::default(),
            grace: Duration::from_secs(20),
        }
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 65001)) }
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 65002)),
            address: None,
            upload_slots: 64,
            upload_slots_per_node: 32,
            upload_limit: Rate::default(),
            download_limit: Rate::default(),
            max_connections: 4096,
            max_connections_per_node: 8,
            max_streams: 256,
            zone: String::new(),
            rack: String::new(),
        }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self { socket: "/run/meganeura/dfdaemon.sock".into() }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 65003)) }
    }
}
