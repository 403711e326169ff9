//! Whether a mount may have what the cache holds of a blob.
//!
//! The cache is the node's, and an image may name any blob: that it knows a digest proves nothing. So
//! before a mount is served what others have fetched, its image's own place must have said, to the
//! mount's own credentials, that it has the blob; or this mount has fetched of it there itself. Once
//! is enough, for as long as it is mounted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lock::lock;

/// One mount's right to one blob.
#[derive(Debug, Default)]
pub struct Right {
    proved: AtomicBool,
    /// Held by who asks: the others wait for the answer.
    asking: Mutex<()>,
}

impl Right {
    /// Whether it is proved.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Acquire)
    }

    /// It is: bytes of the blob came from the image's own place. Says whether that is news.
    pub fn set(&self) -> bool {
        !self.proved.swap(true, Ordering::AcqRel)
    }

    /// Asks, unless it is proved. One asks at a time.
    ///
    /// # Errors
    /// Those of `ask`: then it is not proved.
    pub fn prove<E>(&self, ask: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.is_proved() {
            return Ok(());
        }
        let _asking = lock(&self.asking);
        if !self.is_proved() {
            ask()?;
            self.set();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn it_is_asked_until_it_is_proved_and_never_after() {
        let right = Right::default();
        assert_eq!(right.prove(|| Err("no")), Err("no"));
        assert!(!right.is_proved());
        let asked = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    right.prove(|| {
                        asked.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        Ok::<_, ()>(())
                    })
                });
            }
        });
        assert!(right.is_proved() && !right.set());
        assert_eq!((asked.into_inner(), right.prove(|| Err(()))), (1, Ok(())));
    }
}
