//! A whole blob by way of dfdaemon: an image's bootstrap. So the registry sends it once, however many
//! nodes mount the image.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use content::Digest;
use image::registry::{Credential, Repository};
use lazy::patience::Pauses;

use super::answer::Failed;
use super::daemon::{Daemon, Part};
use super::target;
use crate::tally::From;

/// So much is asked for at once, in bytes.
const STEP: u64 = 4 << 20;

/// So long each part is waited for: who mounts would rather ask the registry then.
const LIMIT: Duration = Duration::from_secs(20);

/// A blob's bytes as dfdaemon gives them: not to be believed.
#[derive(Debug)]
pub struct WholeBlob<'a> {
    daemon: &'a Daemon,
    next: Part,
    length: u64,
    bytes: Bytes,
}

impl<'a> WholeBlob<'a> {
    /// The blob `digest` of `repository`, of `length` bytes; `credential` proves that it is for us.
    #[must_use]
    pub fn new(
        daemon: &'a Daemon,
        repository: &Repository,
        (digest, length): (&Digest, u64),
        credential: Option<Credential>,
    ) -> Self {
        let target = target(repository, digest);
        let next = Part { target, credential, offset: 0, length: STEP.min(length) };
        Self { daemon, next, length, bytes: Bytes::new() }
    }

    /// The next part; an empty one at the end.
    fn part(&mut self) -> io::Result<Bytes> {
        self.next.length = STEP.min(self.length.saturating_sub(self.next.offset));
        if self.next.length == 0 {
            return Ok(Bytes::new());
        }
        let now = Instant::now();
        let (until, mut pauses) = (now.checked_add(LIMIT).unwrap_or(now), Pauses::new());
        loop {
            let failed = match self.daemon.read(&self.next, until) {
                Ok(bytes) => {
                    self.daemon.tally().given(From::Dfdaemon, self.next.length);
                    self.next.offset = self.next.offset.saturating_add(self.next.length);
                    return Ok(bytes);
                }
                Err(failed) => failed,
            };
            let left = until.saturating_duration_since(Instant::now());
            let pause = if let Failed::Busy(_) = failed { pauses.next(left) } else { None };
            let Some(pause) = pause else { return Err(failed.into()) };
            std::thread::sleep(pause);
        }
    }
}

impl Read for WholeBlob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            self.bytes = self.part()?;
        }
        let length = self.bytes.len().min(buffer.len());
        self.bytes.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
