//! What of the cache a mount may have.

use std::sync::Arc;

use rafs::{Blob, ChunkInfo};

use super::{LazyImage, Slot};
use crate::blob::CachedBlob;
use crate::error::{FetchError, ReadError};
use crate::patience::{is_outage, patiently};
use crate::source::Want;

impl<B: AsRef<[u8]>> LazyImage<B> {
    /// Makes sure that the image's own place has the blob, of which `chunk` came from elsewhere.
    pub(crate) fn prove(
        &self,
        slot: &Slot,
        chunk: &ChunkInfo,
        want: &Want,
    ) -> Result<(), ReadError> {
        let proved = slot.right.prove(|| {
            patiently(want, || {
                let refused = |error| FetchError::Refused { chunk: chunk.digest, error };
                slot.from.source.confirm(want).map_err(refused)
            })
        });
        proved.map_err(|error| {
            if is_outage(&error) {
                self.in_vain.note(chunk);
            }
            ReadError::Fetch(Arc::new(error))
        })
    }

    /// Asks for all blobs that may be devices if they are ours to have, side by side. Where the answer
    /// is no, or does not come, each read asks again.
    pub fn prove_devices(&self, want: &Want)
    where
        B: Sync + Send,
    {
        self.prove_those(want, Self::may_be_device);
    }

    /// The same for all blobs of which the cache holds anything: reads then need not ask one after the
    /// other.
    pub fn prove_kept(&self, want: &Want)
    where
        B: Sync + Send,
    {
        self.prove_those(want, |cache, _| cache.stats().held > 0);
    }

    fn prove_those(&self, want: &Want, are: impl Fn(&CachedBlob, &Blob) -> bool)
    where
        B: Sync + Send,
    {
        let blobs = self.bootstrap.blobs().iter();
        let open = self.slots.iter().zip(blobs).filter(|(slot, _)| !slot.right.is_proved());
        let open: Vec<_> = open
            .filter(|(slot, blob)| self.kept_of(slot).is_some_and(|cache| are(&cache, blob)))
            .map(|(slot, _)| slot)
            .collect();
        for some in open.chunks(AT_ONCE) {
            std::thread::scope(|scope| {
                for slot in some {
                    scope.spawn(|| {
                        let asked = slot.right.prove(|| slot.from.source.confirm(want));
                        if let Err(error) = asked {
                            tracing::info!(blob = %slot.from.key, %error, "what is kept of a blob is not used yet");
                        }
                    });
                }
            });
        }
    }

    /// Says again to who remembers it that what was proved is still in use.
    pub fn renew_rights(&self) {
        let proved = self.slots.iter().filter(|slot| slot.right.is_proved());
        proved.for_each(|slot| slot.from.source.granted());
    }

    /// Bytes of the blob came from the image's own place.
    pub(crate) fn has_fetched(slot: &Slot) {
        if slot.right.set() {
            slot.from.source.granted();
        }
    }
}

/// So many blobs are asked for at one time.
const AT_ONCE: usize = 16;
