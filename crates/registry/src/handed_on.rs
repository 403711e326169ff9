//! Which of an upstream's headers are handed on to the client, and how much of them.

use http::HeaderMap;
use http::header::{ETAG, HeaderName, LINK, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};

/// The longest value handed on (distribution-spec allows a warning of 4096 bytes).
const LONGEST: usize = 4096;
/// The most lines handed on.
const MOST: usize = 32;

/// Headers that tell how much may still be asked.
fn is_rate_limit(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == RETRY_AFTER.as_str()
        || name == "docker-ratelimit-source"
        || name.starts_with("ratelimit-")
        || name.starts_with("x-ratelimit-")
}

/// Headers of a good answer.
fn is_of_answer(name: &HeaderName) -> bool {
    is_rate_limit(name)
        || [ETAG, LINK, WARNING].contains(name)
        || ["oci-filters-applied", "oci-subject"].contains(&name.as_str())
}

/// What a client should see of a good answer's headers.
pub(crate) fn of_answer(headers: &HeaderMap) -> Vec<(String, String)> {
    select(headers, is_of_answer)
}

/// What a client should see of a refusal's headers, challenges aside.
pub(crate) fn of_refusal(headers: &HeaderMap) -> Vec<(String, String)> {
    select(headers, |name| is_rate_limit(name) || *name == WARNING)
}

/// The challenges, line by line.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter();
    let texts = lines.filter_map(|value| value.to_str().ok());
    texts.filter(|text| text.len() <= LONGEST).take(MOST).map(str::to_owned).collect()
}

fn select(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, value)| wanted(name) && value.len() <= LONGEST)
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .take(MOST)
        .collect()
}
