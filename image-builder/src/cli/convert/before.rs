//! What was converted before: a dictionary, and the build cache.

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

use crate::convert::{BuildCache, Dictionary, Format, RECORDS};
use crate::opened::choose::{Want, choose};
use crate::opened::store::{Reach, open};
use crate::place::{Place, PlaceError};
use crate::store::Client;

/// What was converted before.
#[derive(Debug, Args)]
#[command(next_help_heading = "What was converted before")]
pub(super) struct BeforeArgs {
    /// A chunked image, of the same format: chunks that it has are not stored again. Its blobs are
    /// listed in the new image and taken over into the target, within a registry by reference
    #[arg(long, value_name = "IMAGE", value_parser = dictionary_place)]
    chunk_dict: Option<Place>,
    /// Take layers that were converted before from here, and keep others here: a name of its own in
    /// a registry, or oci:FOLDER:TAG. Let only those write to it whom you trust with the images
    #[arg(long, value_name = "CACHE")]
    build_cache: Option<Place>,
    /// The build cache's tag in the target's repository
    #[arg(long, value_name = "TAG", conflicts_with = "build_cache")]
    build_cache_tag: Option<String>,
    /// How many layers the build cache keeps, those that were used last
    #[arg(long, value_name = "N", default_value_t = RECORDS, visible_alias = "build-cache-max-records")]
    build_cache_records: usize,
}

impl BeforeArgs {
    fn cache_place(&self, target: &Place) -> anyhow::Result<Option<Place>> {
        let Some(tag) = &self.build_cache_tag else { return Ok(self.build_cache.clone()) };
        let place = target.with_tag(tag).with_context(|| format!("{tag} is no tag of {target}"))?;
        Ok(Some(place))
    }

    /// The build cache, if one is asked for.
    pub(super) fn cache(
        &self,
        client: &Client,
        target: &Place,
    ) -> anyhow::Result<Option<Arc<BuildCache>>> {
        let Some(place) = self.cache_place(target)? else { return Ok(None) };
        if matches!(place, Place::Archive { .. }) {
            bail!("{place} is an archive, which cannot be added to: use a registry or oci:FOLDER");
        }
        let context = || format!("cannot open the build cache {place}");
        let store = client.create(&place).with_context(context)?;
        let cache = BuildCache::open(store, self.build_cache_records).with_context(context)?;
        Ok(Some(Arc::new(cache)))
    }

    /// The dictionary for images of this format, if one is asked for.
    pub(super) fn dictionary(
        &self,
        client: &Client,
        format: Format,
    ) -> anyhow::Result<Option<Arc<Dictionary>>> {
        let Some(place) = &self.chunk_dict else { return Ok(None) };
        let context = || format!("{place} is no dictionary");
        let store = client.open(place).with_context(context)?;
        let document = choose(&store, Want::Chunked, None).with_context(context)?;
        let chunked = open(store, document, Reach::Parts).with_context(context)?;
        Ok(Some(Arc::new(Dictionary::new(&chunked, format).with_context(context)?)))
    }
}

/// A place; nydusify writes what it is of before it.
fn dictionary_place(text: &str) -> Result<Place, PlaceError> {
    text.strip_prefix("bootstrap:registry:").unwrap_or(text).parse()
}
