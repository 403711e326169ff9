//! Name resolution with the address policy in it: what is denied is never connected to, whatever
//! a name server says and however often it changes its mind.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Reach;

/// Resolves names for one door.
pub(crate) struct Resolver {
    pub(crate) reach: Reach,
    /// The proxies' own names, which the operator gave: they lie where they lie.
    pub(crate) proxies: Arc<HashSet<String>>,
}

/// Every address of a host was denied; this is one of them.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host} lies at {address}")]
pub(crate) struct Denied {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let exempt = self.proxies.contains(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            if exempt {
                return Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let permitted = permitted(reach, name.as_str(), found)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be contacted; an error if there were some, but none of them may.
fn permitted(
    reach: Reach,
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Denied> {
    let (permitted, denied): (Vec<_>, Vec<_>) = found.partition(|a| reach.permits(a.ip()));
    match denied.first() {
        Some(first) if permitted.is_empty() => {
            Err(Denied { host: host.to_owned(), address: first.ip() })
        }
        _ => Ok(permitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_addresses_are_dropped_and_all_denied_is_an_error() {
        let reach = Reach { private: false, loopback: false };
        let addresses = |texts: &[&str]| {
            let parsed = texts.iter().map(|t| SocketAddr::new(t.parse().unwrap(), 0));
            parsed.collect::<Vec<_>>()
        };
        let mixed = addresses(&["10.0.0.1", "1.1.1.1", "169.254.169.254"]);
        let left = permitted(reach, "a", mixed.into_iter()).unwrap();
        assert_eq!(left, addresses(&["1.1.1.1"]));
        let bad = addresses(&["169.254.169.254", "::1"]);
        let denied = permitted(reach, "a", bad.into_iter()).unwrap_err();
        assert_eq!(denied.address.to_string(), "169.254.169.254");
    }
}
