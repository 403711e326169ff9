//! What clients and operators write: paths, queries, ranges, references, join strings, sizes.

use std::str::FromStr;

use content::name;
use dfdaemon::mirror::link;
use dfdaemon::mirror::range::{self, Part};
use dfdaemon::mirror::route::{self, Route};
use fuzz::{Edit, damaged};
use registry::{Reference, Repository};
use telemetry::request_id::RequestId;
use telemetry::units::{ByteSize, Rate};
use transport::JoinString;

/// Text out of the parts that requests are made of, so that many get through the first checks.
fn text(parts: &[u8]) -> String {
    const WORDS: [&str; 32] = [
        "/v2/",
        "/",
        "blobs",
        "manifests",
        "referrers",
        "tags/list",
        "library",
        "nginx",
        "latest",
        "sha256:",
        "sha512:",
        "0123456789abcdef",
        "a",
        "..",
        ".",
        "_",
        "-",
        "%2f",
        "%00",
        ":",
        "@",
        "?",
        "&",
        "=",
        "ns",
        "docker.io",
        "127.0.0.1:5000",
        "[::1]",
        "é",
        "\0",
        " ",
        "A",
    ];
    parts.iter().map(|part| WORDS[usize::from(*part) % WORDS.len()]).collect()
}

fn sound(repository: &Repository) {
    assert!(name::is_repository(repository.name()), "{repository:?}");
    assert!(name::is_registry_host(repository.registry()), "{repository:?}");
    assert!(!repository.name().split('/').any(|part| part == ".." || part.is_empty()));
}

fn routed(path: &str, query: Option<&str>) {
    match route::read(path, query, Some("docker.io")) {
        Ok(Route::Manifest(repository, reference)) => {
            sound(&repository);
            let path = reference.to_string();
            assert_eq!(Reference::parse(&path), Ok(reference));
        }
        Ok(Route::Blob(repository, _) | Route::Page(repository, _)) => sound(&repository),
        Ok(Route::Ping) | Err(_) => {}
    }
}

#[test]
fn paths_lead_to_sound_names_or_nowhere() {
    bolero::check!().with_type::<(String, Option<String>)>().for_each(|(path, query)| {
        routed(path, query.as_deref());
        routed(&format!("/v2/{path}"), query.as_deref());
    });
}

#[test]
fn paths_of_likely_words_lead_to_sound_names_or_nowhere() {
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(path, query)| {
        let query = text(query);
        routed(&text(path), Some(&query));
        routed(&format!("/v2/{}", text(path)), Some(&format!("ns={query}")));
        let digest = "0123456789abcdef".repeat(4);
        routed(&format!("/v2/{}/blobs/sha256:{digest}", text(path)), Some(&query));
    });
}

/// A link that leads through the mirror leads to the mirror, whatever the registry wrote into it.
#[test]
fn links_lead_through_us() {
    bolero::check!().with_type::<(String, Vec<u8>, bool)>().for_each(|(any, likely, next)| {
        let rel = if *next { "; rel=\"next\"" } else { "; rel=next" };
        for told in [any.clone(), format!("<{any}>{rel}"), format!("<{}>{rel}", text(likely))] {
            if let Some(link) = link::through_us(&told, "/v2/a/b/tags/list", Some("ns=docker.io")) {
                assert!(link.starts_with("</v2/a/b/tags/list?"), "{link}");
                assert!(!link.contains(['\r', '\n', '\0']), "{link:?}");
            }
        }
    });
}

#[test]
fn ranges_lie_within_the_blob() {
    bolero::check!().with_type::<(u8, u64, u64, u64, String)>().for_each(
        |(form, first, last, length, junk)| {
            let header = match form % 5 {
                0 => format!("bytes={first}-{last}"),
                1 => format!("bytes={first}-"),
                2 => format!("bytes=-{last}"),
                3 => format!("bytes={junk}"),
                _ => junk.clone(),
            };
            for length in [*length, length % 4096] {
                match range::read(Some(&header), length) {
                    Part::All | Part::Unsatisfiable => {}
                    Part::Some { bytes, .. } => {
                        assert!(bytes.start < bytes.end && bytes.end <= length, "{header}");
                    }
                }
            }
        },
    );
}

/// What is read is written, and read again, as the same.
fn same_again<T: FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse().ok(), Some(read), "{text}");
    }
}

#[test]
fn what_operators_write_is_read_or_refused() {
    let valid = format!("mgn1.{}.{}@10.0.0.1:7000,[::1]:7001", "ab".repeat(32), "s".repeat(20));
    assert!(valid.parse::<JoinString>().is_ok());
    bolero::check!().with_type::<(String, Vec<u8>, [(u16, u8); 2])>().for_each(
        |(any, likely, edits)| {
            for text in [any, &text(likely)] {
                same_again::<ByteSize>(text);
                same_again::<Rate>(text);
                let id = RequestId::accept(Some(text));
                assert_eq!(RequestId::accept(Some(id.as_str())), id);
            }
            let edits = edits.map(|(at, byte)| Edit { at, byte: byte % 0x80 });
            let joined = damaged(valid.as_bytes(), &edits, None);
            if let Ok(joined) = String::from_utf8_lossy(&joined).parse::<JoinString>() {
                assert!(joined.to_string().parse::<JoinString>().is_ok());
            }
        },
    );
}
