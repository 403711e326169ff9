//! A layout's index: which images it has.

use std::io::Read;

use content::Digest;
use serde::Serialize;

use super::error::StoreError;
use super::{Document, MANIFEST_LIMIT};
use crate::oci::{Descriptor, Index, annotation};
use crate::place::Place;

/// What the file `oci-layout` says.
pub(crate) const LAYOUT_VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The image of this name, or the only one.
pub(crate) fn choose(
    index: &Index,
    tag: Option<&str>,
    place: &Place,
) -> Result<Descriptor, StoreError> {
    let place = || place.to_string();
    let all = &index.manifests;
    match (tag, &all[..]) {
        // One name, two images: whoever wrote that meant the last.
        (Some(tag), _) => {
            all.iter().rfind(|image| is_named(image, tag)).cloned().ok_or_else(|| {
                StoreError::NoSuchTag { place: place(), tag: tag.to_owned(), there: names(index) }
            })
        }
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(StoreError::Empty(place())),
        // Several names of one image.
        (None, [first, rest @ ..]) if rest.iter().all(|image| image.digest == first.digest) => {
            Ok(first.clone())
        }
        (None, _) => Err(StoreError::WhichTag { place: place(), there: names(index) }),
    }
}

fn is_named(image: &Descriptor, tag: &str) -> bool {
    image.annotations.get(annotation::REF_NAME).is_some_and(|name| name == tag)
}

fn names(index: &Index) -> String {
    let names =
        index.manifests.iter().filter_map(|image| image.annotations.get(annotation::REF_NAME));
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Puts an image into the index, in the place of the one that had its name; there is at most one
/// without a name.
pub(crate) fn add(index: &mut Index, mut image: Descriptor, tag: Option<&str>) {
    match tag {
        Some(tag) => {
            index.manifests.retain(|other| !is_named(other, tag));
            image = image.annotated(annotation::REF_NAME, tag);
        }
        None => {
            index.manifests.retain(|other| other.annotations.contains_key(annotation::REF_NAME))
        }
    }
    index.manifests.push(image);
}

/// The manifest or index with this digest.
pub(crate) fn document(from: impl Read, digest: &Digest) -> Result<Document, StoreError> {
    let mut bytes = Vec::new();
    let read = from.take(MANIFEST_LIMIT.saturating_add(1)).read_to_end(&mut bytes);
    let length = read.map_err(|error| StoreError::Read { digest: *digest, error })? as u64;
    if length > MANIFEST_LIMIT {
        return Err(StoreError::TooLong { digest: *digest, length, limit: MANIFEST_LIMIT });
    }
    let actual = Digest::of(&bytes);
    if actual != *digest {
        return Err(StoreError::OtherDigest { expected: *digest, actual });
    }
    Document::new(bytes.into(), None)
        .map_err(|error| StoreError::Document { what: digest.to_string(), error })
}

/// As JSON; strings and numbers always can be.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_name_and_replaced_by_name() {
        let place: Place = "oci:x".parse().unwrap();
        let of = |bytes: &[u8]| Descriptor::of("m", bytes);
        let mut index = Index::new(Vec::new());
        assert!(matches!(choose(&index, None, &place), Err(StoreError::Empty(_))));
        add(&mut index, of(b"a"), None);
        add(&mut index, of(b"b"), None);
        assert_eq!(choose(&index, None, &place).unwrap(), of(b"b"), "one without a name");
        add(&mut index, of(b"c"), Some("v1"));
        add(&mut index, of(b"d"), Some("v1"));
        assert_eq!(choose(&index, Some("v1"), &place).unwrap().digest, Digest::of(b"d"));
        assert!(matches!(choose(&index, None, &place), Err(StoreError::WhichTag { .. })));
        let mut named = Index::new(Vec::new());
        add(&mut named, of(b"a"), Some("v1"));
        add(&mut named, of(b"a"), Some("latest"));
        assert_eq!(choose(&named, None, &place).unwrap().digest, Digest::of(b"a"));
        assert!(matches!(choose(&index, Some("v2"), &place), Err(StoreError::NoSuchTag { .. })));
    }
}
