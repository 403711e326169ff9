//! Asking again: how often, and after what pause.

use std::time::{Duration, SystemTime};

use crate::config::RegistriesConfig;
use crate::error::Error;

/// The longest pause of our own choosing.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// While a client waits for headers, no `Retry-After` beyond this is waited for: clients give up
/// after 30 s, and are better served with the refusal.
const LONGEST_WAIT_FOR_HEADERS: Duration = Duration::from_secs(10);

/// Counts the attempts that brought no progress, and pauses between them.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    allowed: u32,
    used: u32,
    first_pause: Duration,
    longest_wait: Duration,
}

impl Backoff {
    /// For a request whose answer somebody waits for.
    pub(crate) fn for_headers(config: &RegistriesConfig) -> Self {
        let longest = config.retry_after_limit.min(LONGEST_WAIT_FOR_HEADERS);
        Self::new(config, longest)
    }

    /// For a body that is under way.
    pub(crate) fn for_body(config: &RegistriesConfig) -> Self {
        Self::new(config, config.retry_after_limit)
    }

    fn new(config: &RegistriesConfig, longest_wait: Duration) -> Self {
        Self { allowed: config.retries, used: 0, first_pause: config.retry_pause, longest_wait }
    }

    /// There was progress: the count starts anew.
    pub(crate) fn progress(&mut self) {
        self.used = 0;
    }

    /// Pauses before another attempt, or gives the error back if there is to be none.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        let Some(pause) = self.next(&error) else {
            return Err(error);
        };
        tracing::debug!(%error, attempt = self.used, ?pause, "upstream is asked again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn next(&mut self, error: &Error) -> Option<Duration> {
        if !error.is_transient() || self.used >= self.allowed {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << self.used.min(16));
        self.used += 1;
        let own = jittered(doubled.min(LONGEST_PAUSE));
        match asked_for(error) {
            Some(asked) if asked > self.longest_wait => None,
            Some(asked) => Some(own.max(asked)),
            None => Some(own),
        }
    }
}

fn asked_for(error: &Error) -> Option<Duration> {
    match error {
        Error::Refused(refusal) => refusal.retry_after,
        _ => None,
    }
}

/// Between half of `pause` and all of it, so that many who failed together do not return together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Without randomness there is no jitter; nothing else depends on it.
    let _ = aws_lc_rs::rand::fill(&mut random);
    pause / 2 + (pause / 2) * u32::from(random[0]) / 255
}

/// The value of a `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Some(seconds) = crate::content_range::number(value) {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    fn refused(status: u16, retry_after: Option<u64>) -> Error {
        Error::Refused(Box::new(Refusal {
            status,
            www_authenticate: vec![],
            content_type: None,
            body: bytes::Bytes::new(),
            headers: vec![],
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    fn backoff() -> Backoff {
        Backoff::for_body(&RegistriesConfig::default())
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut backoff = backoff();
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.next(&refused(503, None))).collect();
        assert_eq!(pauses.len(), 5);
        for (n, pause) in pauses.iter().enumerate() {
            let most = Duration::from_millis(250 << n);
            assert!(*pause >= most / 2 && *pause <= most, "{n}: {pause:?}");
        }
        backoff.progress();
        assert!(backoff.next(&refused(503, None)).is_some());
    }

    #[test]
    fn what_will_not_pass_is_not_asked_again() {
        for status in [400, 401, 403, 404, 416, 501] {
            assert_eq!(backoff().next(&refused(status, None)), None, "{status}");
        }
    }

    #[test]
    fn the_registry_decides_how_long_up_to_a_bound() {
        let wait = backoff().next(&refused(429, Some(30)));
        assert_eq!(wait, Some(Duration::from_secs(30)));
        assert_eq!(backoff().next(&refused(429, Some(61))), None);
        let config = RegistriesConfig::default();
        let mut headers = Backoff::for_headers(&config);
        assert_eq!(headers.next(&refused(429, Some(30))), None);
    }

    #[test]
    fn seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let parse = |text| retry_after(text, now).map(|d| d.as_secs());
        assert_eq!(parse("120"), Some(120));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("-5"), None);
    }
}
