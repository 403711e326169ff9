//! How fast a node sends and receives at most.

use leaky_bucket::RateLimiter;

/// A limit in bytes per second, or none.
#[derive(Debug, Default)]
pub struct Limiter(Option<RateLimiter>);

impl Limiter {
    /// At most `bytes_per_second`; 0 means no limit.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        if bytes_per_second == 0 {
            return Self(None);
        }
        // Refilled twenty times a second: smooth enough for a link, rare enough for the clock.
        let refill = usize::try_from(bytes_per_second / 20).unwrap_or(usize::MAX).max(1);
        let limiter = RateLimiter::builder()
            .initial(refill)
            .refill(refill)
            .interval(std::time::Duration::from_millis(50))
            .max(refill.saturating_mul(4).max(256 * 1024))
            .build();
        Self(Some(limiter))
    }

    /// Waits until `bytes` may pass.
    pub async fn take(&self, bytes: usize) {
        if let Some(limiter) = &self.0 {
            let mut left = bytes;
            while left > 0 {
                // A bucket never holds more than its depth; larger amounts go in parts.
                let part = left.min(limiter.max());
                limiter.acquire(part).await;
                left -= part;
            }
        }
    }
}
