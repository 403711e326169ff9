//! The names that the OCI distribution specification allows.

/// Whether `name` is a repository name: lower-case path components of letters and digits, joined
/// by `.`, `_`, `__` or runs of `-`, and by `/` (distribution-spec, "Pulling manifests").
#[must_use]
pub fn is_repository(name: &str) -> bool {
    // 255 characters with the registry's host is what registries and clients take.
    name.len() <= 255 && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = match rest {
            [] => return true,
            [b'.', ..] => 1,
            [b'_', b'_', ..] => 2,
            [b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|c| **c == b'-').count(),
            _ => return false,
        };
        rest = &rest[separator..];
    }
}

/// Whether `tag` is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let bytes = tag.as_bytes();
    matches!(bytes, [first, ..] if word(*first))
        && bytes.len() <= 128
        && bytes.iter().all(|c| word(*c) || matches!(c, b'.' | b'-'))
}

/// Whether `host` reads as a registry host with an optional port: what `?ns=` and the first path
/// segment may say. It is looked up in the configuration next; this only keeps nonsense out.
#[must_use]
pub fn is_registry_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // A bracketed IPv6 address has colons of its own.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_is_fine = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    let bracketed = name
        .strip_prefix('[')
        .and_then(|n| n.strip_suffix(']'))
        .is_some_and(|n| n.parse::<std::net::Ipv6Addr>().is_ok());
    let labelled = name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        });
    port_is_fine && (bracketed || labelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for good in ["a", "library/nginx", "a/b/c", "a.b", "a__b", "a_b", "a---b", "0/1"] {
            assert!(is_repository(good), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "-a", "a-", "../a", "a/../b", "a b",
            "a%2f", "a\0", "ä", &long,
        ] {
            assert!(!is_repository(bad), "{bad}");
        }
    }

    #[test]
    fn tags() {
        for good in ["latest", "v1.0-rc_1", "_x", "A"] {
            assert!(is_tag(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", ".x", "-x", "a/b", "a:b", "sha256:00", "ü", &long] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn registry_hosts() {
        for good in ["docker.io", "localhost:5000", "10.0.0.1", "[::1]:5000", "a-b.example"] {
            assert!(is_registry_host(good), "{good}");
        }
        for bad in [
            "",
            "a:b",
            "a:0",
            "a:70000",
            "a..b",
            "-a",
            "a/b",
            "user@host",
            "a?b",
            "[zz]",
            "host#x",
            "a b",
            "a:80:80",
        ] {
            assert!(!is_registry_host(bad), "{bad}");
        }
    }
}
