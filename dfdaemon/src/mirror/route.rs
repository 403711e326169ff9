//! What a request path asks for. Pure.
//!
//! A registry is named in one of three ways (facts of the field): `?ns=` (containerd, docker with
//! the containerd store), the first segment of the path (podman, CRI-O, skopeo), or the configured
//! default.

use content::{Digest, name};
use registry::{Page, Reference, Repository};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: is this a registry?
    Ping,
    /// A manifest.
    Manifest(Repository, Reference),
    /// A blob.
    Blob(Repository, Digest),
    /// A page of a repository's tags, or of what refers to a manifest.
    Page(Repository, Page),
}

/// Why a path asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// It is not of the registry API.
    NotFound,
    /// The repository's name, or the registry's, is none.
    Name,
    /// The digest is none.
    Digest,
    /// The tag is none.
    Tag,
    /// Nobody said which registry, and there is no default.
    NoRegistry,
}

/// Reads a request path and its query.
///
/// # Errors
/// Why it asks for nothing.
pub fn read(path: &str, query: Option<&str>, default: Option<&str>) -> Result<Route, NoRoute> {
    let rest = path.strip_prefix("/v2").ok_or(NoRoute::NotFound)?;
    if rest.is_empty() || rest == "/" {
        return Ok(Route::Ping);
    }
    let rest = rest.strip_prefix('/').ok_or(NoRoute::NotFound)?;
    let asked = |key: &str| {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs
            .into_iter()
            .find(|(name, value)| name == key && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    };
    let place = |full: &str| repository(full, asked("ns").as_deref(), default);
    if let Some(full) = rest.strip_suffix("/tags/list") {
        let n = asked("n").and_then(|n| n.parse().ok());
        let last = asked("last").filter(|last| name::is_tag(last));
        let more = others(query, &["n", "last"]);
        return Ok(Route::Page(place(full)?, Page::Tags { n, last, more }));
    }
    // A repository may have a component named `blobs`; the last such segment is the one that counts.
    let (head, last) = rest.rsplit_once('/').ok_or(NoRoute::NotFound)?;
    let (full, kind) = head.rsplit_once('/').ok_or(NoRoute::NotFound)?;
    match kind {
        "manifests" => Ok(Route::Manifest(place(full)?, reference(last)?)),
        "blobs" => Ok(Route::Blob(place(full)?, digest(last)?)),
        "referrers" => {
            let artifact_type = asked("artifactType");
            let more = others(query, &["artifactType"]);
            let page = Page::Referrers { digest: digest(last)?, artifact_type, more };
            Ok(Route::Page(place(full)?, page))
        }
        _ => Err(NoRoute::NotFound),
    }
}

/// The longest rest of a query that is passed on: tokens of pages are shorter.
const LONGEST_REST: usize = 2048;

/// The query but for `ns` and `known`: what a registry put into its link to a page.
fn others(query: Option<&str>, known: &[&str]) -> String {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let others = pairs.filter(|(name, _)| name != "ns" && !known.contains(&name.as_ref()));
    let rest = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
    if rest.len() > LONGEST_REST { String::new() } else { rest }
}

fn digest(text: &str) -> Result<Digest, NoRoute> {
    text.parse().map_err(|_| NoRoute::Digest)
}

fn reference(text: &str) -> Result<Reference, NoRoute> {
    let wrong = if text.contains(':') { NoRoute::Digest } else { NoRoute::Tag };
    Reference::parse(text).map_err(|_| wrong)
}

fn repository(full: &str, ns: Option<&str>, default: Option<&str>) -> Result<Repository, NoRoute> {
    let (registry, name) = match (ns, full.split_once('/')) {
        (Some(ns), _) => (ns, full),
        (None, Some((first, rest))) if is_host(first) => (first, rest),
        (None, _) => (default.ok_or(NoRoute::NoRegistry)?, full),
    };
    Repository::new(canonical(registry), name).map_err(|_| NoRoute::Name)
}

/// Whether the first segment of a path is a registry's host: it has a dot or a port, or is
/// localhost, as references are read everywhere.
fn is_host(segment: &str) -> bool {
    segment.contains(['.', ':']) || segment == "localhost"
}

/// Docker Hub goes by several names; its images by one.
fn canonical(registry: &str) -> &str {
    match registry {
        "registry-1.docker.io" | "index.docker.io" => "docker.io",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(registry: &str, name: &str) -> Repository {
        Repository::new(registry, name).expect("a name")
    }

    #[test]
    fn a_registry_is_named_in_three_ways() {
        let tag = |path: &str, query, default| match read(path, query, default) {
            Ok(Route::Manifest(repository, _)) => Ok(repository),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        let by_ns = tag("/v2/library/x/manifests/1", Some("ns=docker.io"), None);
        assert_eq!(by_ns, Ok(repo("docker.io", "library/x")));
        let by_port = tag("/v2/a/manifests/1", Some("ns=reg.example%3A5000"), None);
        assert_eq!(by_port, Ok(repo("reg.example:5000", "a")));
        let by_path = tag("/v2/docker.io/library/x/manifests/1", None, Some("ghcr.io"));
        assert_eq!(by_path, Ok(repo("docker.io", "library/x")));
        let local = tag("/v2/localhost/x/manifests/1", None, None);
        assert_eq!(local, Ok(repo("localhost", "x")));
        let by_default = tag("/v2/library/x/manifests/1", None, Some("docker.io"));
        assert_eq!(by_default, Ok(repo("docker.io", "library/x")));
        let alias = tag("/v2/library/x/manifests/1", Some("ns=registry-1.docker.io"), None);
        assert_eq!(alias, Ok(repo("docker.io", "library/x")));
        let nobody = tag("/v2/library/x/manifests/1", None, None);
        assert_eq!(nobody, Err(NoRoute::NoRegistry));
    }

    #[test]
    fn all_that_a_registry_offers_is_told_apart() {
        let digest = Digest::of(b"x");
        let ns = Some("ns=r.example");
        assert_eq!(read("/v2/", None, None), Ok(Route::Ping));
        assert_eq!(read("/v2", None, None), Ok(Route::Ping));
        let blob = read(&format!("/v2/a/blobs/blobs/{digest}"), ns, None);
        assert_eq!(blob, Ok(Route::Blob(repo("r.example", "a/blobs"), digest)));
        let tags = read("/v2/a/tags/list", Some("ns=r.example&n=3&last=v1&next=%2F"), None);
        let more = "next=%2F".to_owned();
        let page = Page::Tags { n: Some(3), last: Some("v1".into()), more };
        assert_eq!(tags, Ok(Route::Page(repo("r.example", "a"), page)));
        let query = Some("ns=r.example&artifactType=t");
        let referrers = read(&format!("/v2/a/referrers/{digest}"), query, None);
        let page = Page::Referrers { digest, artifact_type: Some("t".into()), more: String::new() };
        assert_eq!(referrers, Ok(Route::Page(repo("r.example", "a"), page)));
        let endless = format!("n=3&x={}", "y".repeat(5000));
        let tags = read("/v2/r.example/a/tags/list", Some(&endless), None);
        let page = Page::Tags { n: Some(3), last: None, more: String::new() };
        assert_eq!(tags, Ok(Route::Page(repo("r.example", "a"), page)));
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        let ns = Some("ns=r.example");
        let digest = Digest::of(b"x");
        for (path, query, why) in [
            ("/", None, NoRoute::NotFound),
            ("/v3/", None, NoRoute::NotFound),
            ("/v2x/a/manifests/1", ns, NoRoute::NotFound),
            ("/v2/a", ns, NoRoute::NotFound),
            ("/v2/a/other/1", ns, NoRoute::NotFound),
            ("/v2/A/manifests/1", ns, NoRoute::Name),
            ("/v2/../../etc/manifests/1", ns, NoRoute::Name),
            ("/v2/a//b/manifests/1", ns, NoRoute::Name),
            ("/v2/a/manifests/-x", ns, NoRoute::Tag),
            ("/v2/a/manifests/sha256:bad", ns, NoRoute::Digest),
            ("/v2/a/blobs/sha256:../../x", ns, NoRoute::NotFound),
            ("/v2/a/blobs/latest", ns, NoRoute::Digest),
            ("/v2/a/manifests/1", Some("ns=http://evil/"), NoRoute::Name),
            ("/v2/a/manifests/1", Some("ns=user@host"), NoRoute::Name),
        ] {
            assert_eq!(read(path, query, None), Err(why), "{path}");
        }
        let wrong = format!("/v2/a/blobs/{}", digest.to_string().to_uppercase());
        assert_eq!(read(&wrong, ns, None), Err(NoRoute::Digest));
    }
}
