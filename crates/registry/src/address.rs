//! The address policy: which addresses may be contacted. A pure function, so that it can be read
//! and tested as a table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::Error;

/// What may be contacted beside public addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reach {
    /// Private networks: RFC 1918, unique local, carrier NAT.
    pub(crate) private: bool,
    /// This host itself.
    pub(crate) loopback: bool,
}

impl Reach {
    /// Whether `address` may be contacted.
    pub(crate) fn permits(self, address: IpAddr) -> bool {
        match class(address) {
            Class::Public => true,
            Class::Private => self.private,
            Class::Loopback => self.loopback,
            Class::Never => false,
        }
    }

    /// Checks what can be told from the URL alone: an address in it, or a name that clouds reserve
    /// for their metadata. (Other names are checked when they have been resolved. Through a proxy
    /// that never happens here, and this is all the checking there is.)
    pub(crate) fn check_url(self, url: &Url) -> Result<(), Error> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(name)) if is_metadata_name(name) => IpAddr::V4(METADATA),
            _ => return Ok(()),
        };
        if self.permits(address) {
            return Ok(());
        }
        Err(Error::AddressDenied { host: url.host_str().unwrap_or_default().to_owned(), address })
    }
}

/// Whether the URL's host is literally this host: a loopback address or `localhost`.
pub(crate) fn is_literally_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => class(IpAddr::V6(address)) == Class::Loopback,
        Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        None => false,
    }
}

/// Where most clouds answer with the machine's own credentials.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

fn is_metadata_name(name: &str) -> bool {
    matches!(
        name.trim_end_matches('.'),
        "metadata" | "metadata.google.internal" | "instance-data" | "instance-data.ec2.internal"
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Public,
    Private,
    Loopback,
    Never,
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => class_v4(v4),
            None => class_v6(v6),
        },
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [127, ..] => Class::Loopback,
        // The host services of two clouds, inside ranges that are otherwise ordinary.
        [100, 100, 100, 200] | [168, 63, 129, 16] => Class::Never,
        // "This network", link-local (with the metadata service), protocol assignments.
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] => Class::Never,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => Class::Never,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        // Carrier NAT (RFC 6598) and benchmarking (RFC 2544): inside somebody's network.
        [100, 64..=127, ..] | [198, 18..=19, ..] => Class::Private,
        _ => Class::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    if address.is_loopback() {
        return Class::Loopback;
    }
    match address.segments() {
        // The metadata service of EC2 over IPv6.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Class::Never,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        // Link-local, multicast.
        [0xfe80..=0xfebf, ..] | [0xff00..=0xffff, ..] => Class::Never,
        // Teredo: an IPv4 address behind somebody's NAT, obfuscated.
        [0x2001, 0, ..] => Class::Never,
        // Unspecified, and what else lies in the reserved block around it.
        [0, 0, 0, 0, ..] => Class::Never,
        _ => Class::Public,
    }
}

/// The IPv4 address that is reached through an IPv6 one: mapped, translated (NAT64), or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Reach = Reach { private: false, loopback: false };
    const PRIVATE: Reach = Reach { private: true, loopback: false };
    const ALL: Reach = Reach { private: true, loopback: true };

    /// Who may contact it: nobody (0), with loopback (1), with private (2), everybody (3).
    const TABLE: &[(&str, u8)] = &[
        ("1.1.1.1", 3),
        ("2606:4700::1111", 3),
        ("100.63.255.255", 3),
        ("172.32.0.1", 3),
        ("10.0.0.1", 2),
        ("172.16.0.1", 2),
        ("172.31.255.255", 2),
        ("192.168.1.1", 2),
        ("100.64.0.1", 2),
        ("198.18.0.1", 2),
        ("fd12::1", 2),
        ("fec0::1", 2),
        ("::ffff:10.0.0.1", 2),
        ("64:ff9b::a00:1", 2),
        ("127.0.0.1", 1),
        ("127.255.0.1", 1),
        ("::1", 1),
        ("::ffff:127.0.0.1", 1),
        ("2002:7f00:1::", 1),
        ("169.254.169.254", 0),
        ("169.254.0.1", 0),
        ("::ffff:169.254.169.254", 0),
        ("64:ff9b::a9fe:a9fe", 0),
        ("2002:a9fe:a9fe::1", 0),
        ("fd00:ec2::254", 0),
        ("fe80::1", 0),
        ("0.0.0.0", 0),
        ("0.1.2.3", 0),
        ("::", 0),
        ("::127.0.0.1", 0),
        ("::ffff:0.0.0.0", 0),
        ("224.0.0.1", 0),
        ("ff02::1", 0),
        ("255.255.255.255", 0),
        ("240.0.0.1", 0),
        ("100.100.100.200", 0),
        ("168.63.129.16", 0),
        ("192.0.0.192", 0),
        ("2001::1", 0),
    ];

    #[test]
    fn the_table() {
        for (text, who) in TABLE {
            let address: IpAddr = text.parse().unwrap();
            let expected = match who {
                3 => [true, true, true],
                2 => [false, true, true],
                1 => [false, false, true],
                _ => [false, false, false],
            };
            let actual = [PUBLIC, PRIVATE, ALL].map(|reach| reach.permits(address));
            assert_eq!(actual, expected, "{text}");
        }
    }

    #[test]
    fn a_literal_is_checked_however_it_is_written() {
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://metadata.google.internal./",
            "http://0/",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(ALL.check_url(&url).is_err(), "{url}");
        }
        assert!(PUBLIC.check_url(&Url::parse("https://a.example/").unwrap()).is_ok());
        assert!(PUBLIC.check_url(&Url::parse("http://0x7f.1/").unwrap()).is_err());
    }

    #[test]
    fn loopback_is_what_is_written_so() {
        for (url, loopback) in [
            ("http://127.0.0.1:5000", true),
            ("http://127.1", true),
            ("http://[::1]", true),
            ("http://localhost:1", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_literally_loopback(&Url::parse(url).unwrap()), loopback, "{url}");
        }
    }
}
