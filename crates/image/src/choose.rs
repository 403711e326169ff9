//! Which of the images under one name is meant.

use std::sync::Arc;

use crate::oci::{Platform, Top};
use crate::store::{Document, Store, StoreError};

use crate::OpenError;

/// Which kind of image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// A chunked one.
    Chunked,
    /// One whose layers are tars.
    Ordinary,
}

/// How many manifests are looked at under one name.
const MOST: usize = 256;

/// The manifest of the only image of that kind, or of the one for `platform`; of several, that for
/// the platform of this machine.
///
/// # Errors
/// If there is none, or several and none for this machine.
pub fn choose(
    store: &Arc<dyn Store>,
    want: Want,
    platform: Option<&Platform>,
) -> Result<Document, OpenError> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    let mut pending = vec![(store.top()?, None)];
    let mut looked = 0_usize;
    while let Some((document, said)) = pending.pop() {
        looked = looked.saturating_add(1);
        if looked > MOST {
            return Err(OpenError::Choice("the index lists too many images".to_owned()));
        }
        match &document.top {
            Top::Index(index) => {
                for entry in index.manifests.iter().rev() {
                    let other = |asked| entry.platform.as_ref().is_some_and(|of| !of.is(asked));
                    if platform.is_some_and(other) {
                        others.extend(entry.platform.as_ref().map(Platform::to_string));
                    } else {
                        pending.push((store.document(&entry.digest)?, entry.platform.clone()));
                    }
                }
            }
            Top::Manifest(manifest) => {
                if manifest.bootstrap().is_some() == (want == Want::Chunked) {
                    found.push((document, said));
                }
            }
        }
    }
    if let (true, false, Some(asked)) = (found.is_empty(), others.is_empty(), platform) {
        others.sort_unstable();
        others.dedup();
        let there = others.join(", ");
        return Err(OpenError::Choice(format!("there is nothing for {asked}; it is for {there}")));
    }
    pick(found, want)
}

fn pick(mut found: Vec<(Document, Option<Platform>)>, want: Want) -> Result<Document, OpenError> {
    if found.len() > 1 {
        let here = here();
        let mine = |said: &Option<Platform>| said.as_ref().is_some_and(|of| of.is(&here));
        if found.iter().filter(|(_, said)| mine(said)).count() == 1 {
            found.retain(|(_, said)| mine(said));
        }
    }
    match (found.pop(), found.is_empty(), want) {
        (Some((document, _)), true, _) => Ok(document),
        (Some(last), false, _) => {
            found.push(last);
            let names = found.iter().map(|(document, said)| match said {
                Some(platform) => platform.to_string(),
                None => document.descriptor.digest.to_string(),
            });
            let names = names.collect::<Vec<_>>().join(", ");
            Err(OpenError::Choice(format!(
                "there are several images, say which by --platform: {names}"
            )))
        }
        (None, _, Want::Chunked) => Err(OpenError::NotChunked),
        (None, _, Want::Ordinary) => {
            Err(OpenError::Choice("there is no ordinary image, only a chunked one".to_owned()))
        }
    }
}

/// The platform of this machine, in the words of images.
fn here() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform {
        architecture: architecture.to_owned(),
        os: std::env::consts::OS.to_owned(),
        variant: None,
        other: serde_json::Map::default(),
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}
