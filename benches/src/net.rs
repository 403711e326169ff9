//! Networks with links of a given rate: one switch, and a namespace for each host.
//!
//! A bench that needs one runs wholly inside [`isolated`]: a network, process and mount namespace
//! of its own that takes everything with it when it ends, however it ends. It needs root.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Context, ensure};
use testbed::Spot;

/// Says that a process is inside already. (`MEGANEURA_…` would be read as configuration.)
const INSIDE: &str = "BENCH_IS_INSIDE";

/// Namespaces of `ip netns` are private to the bench, too.
const ENTER: &str =
    "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link set lo up || exit 1
\"$@\"
exit $?";

/// Runs the bench in namespaces of its own, by starting this program again in them.
///
/// # Errors
/// If the bench fails, or the namespaces cannot be made.
pub fn isolated(bench: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return bench();
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", ENTER, "bench"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .context("unshare is missing (util-linux)")?;
    ensure!(status.success(), "the bench failed inside its namespaces");
    Ok(())
}

/// What a host's link carries, in Mbit/s each way.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// What the host may send.
    pub up: u32,
    /// What the host may receive.
    pub down: u32,
}

/// A switch with hosts. The bench itself is at [`Net::here`] and has no limit.
#[derive(Debug)]
pub struct Net {
    hosts: u8,
}

impl Net {
    /// A switch without hosts. To be called in [`isolated`].
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new() -> anyhow::Result<Self> {
        ip("link add switch type bridge")?;
        ip(&format!("addr add {}/16 dev switch", address(1)))?;
        ip("link set switch up")?;
        Ok(Self { hosts: 0 })
    }

    /// Where the bench itself is, and what it starts beside itself.
    #[must_use]
    pub const fn here(&self) -> Spot {
        Spot::here(IpAddr::V4(address(1)))
    }

    /// Adds a host: a namespace with one link to the switch.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn host(&mut self, link: Link) -> anyhow::Result<Spot> {
        self.hosts = self.hosts.checked_add(1).context("250 hosts are enough")?;
        let (name, port) = (format!("h{}", self.hosts), format!("p{}", self.hosts));
        let at = address(1 + self.hosts);
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {port} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {port} master switch up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} addr add {at}/16 dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        shape(&[], &port, link.down)?;
        shape(&["-n", &name], "eth0", link.up)?;
        Ok(Spot::within(name, IpAddr::V4(at)))
    }
}

const fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

/// Limits what leaves through `device` to `rate` Mbit/s.
fn shape(namespace: &[&str], device: &str, rate: u32) -> anyhow::Result<()> {
    let tc = |words: &str| run("tc", namespace.iter().copied().chain(words.split(' ')));
    tc(&format!("qdisc add dev {device} root handle 1: htb default 10"))?;
    tc(&format!("class add dev {device} parent 1: classid 1:10 htb rate {rate}mbit burst 256kb"))
}

fn ip(words: &str) -> anyhow::Result<()> {
    run("ip", words.split(' '))
}

fn run<'a>(program: &str, words: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    let out = command.args(words).output().with_context(|| format!("{program}: iproute2"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
