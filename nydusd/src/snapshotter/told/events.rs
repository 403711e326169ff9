//! What went wrong last, in nydusd's shape: what the log said at `warn` and above.

use serde_json::{Value, json};
use telemetry::recent::{LINES, Recent, SIZE};

/// The last lines, oldest first, and how much there may be of them.
#[must_use]
pub fn events(recent: &Recent) -> Value {
    let lines = recent.lines();
    json!({
        "max_errors": LINES,
        "total_errors": lines.len(),
        "max_size": SIZE,
        "total_size": lines.iter().map(String::len).sum::<usize>(),
        "errors": lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_with_their_number_and_length() {
        let recent = Recent::default();
        assert_eq!(events(&recent)["errors"], json!([]));
        recent.note("one");
        recent.note("three");
        let told = events(&recent);
        assert_eq!(told["errors"], json!(["one", "three"]));
        assert_eq!((&told["total_errors"], &told["total_size"]), (&json!(2), &json!(8)));
    }
}
