//! Where a process runs: on loopback, or in a network namespace with an address of its own.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;

/// A place for a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    namespace: Option<String>,
    ip: IpAddr,
}

impl Spot {
    /// Loopback, in the network of the caller.
    #[must_use]
    pub const fn loopback() -> Self {
        Self { namespace: None, ip: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }

    /// The address `ip` in the network of the caller.
    #[must_use]
    pub const fn here(ip: IpAddr) -> Self {
        Self { namespace: None, ip }
    }

    /// The address `ip` in the network namespace `namespace`, as `ip netns` knows it. The caller
    /// must be able to reach it from where it is.
    #[must_use]
    pub const fn within(namespace: String, ip: IpAddr) -> Self {
        Self { namespace: Some(namespace), ip }
    }

    /// Takes the calling thread, and those that it starts, to the network there. There is no way
    /// back: take a thread that ends with its work.
    ///
    /// # Errors
    /// If there is no such namespace, or the caller is not root.
    pub fn enter(&self) -> std::io::Result<()> {
        let Some(namespace) = &self.namespace else {
            return Ok(());
        };
        let namespace = std::fs::File::open(format!("/run/netns/{namespace}"))?;
        let network = Some(rustix::thread::LinkNameSpaceType::Network);
        Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), network)?)
    }

    /// Its IP address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// A port there.
    #[must_use]
    pub const fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// A command that runs there; its process id is the program's own, and what it mounts is seen
    /// here.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(namespace) = &self.namespace else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}")).arg(program);
        command
    }
}
