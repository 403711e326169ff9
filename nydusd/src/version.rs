//! Which nydusd this is.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// The commit it was built from, if the build said so.
const COMMIT: &str = match option_env!("MEGANEURA_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What `--version` says behind the program's name: its version, and lines that tools look for which
/// drive nydusd.
pub static LINES: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    format!("{version}\nVersion: \tv{version}\nGit Commit: \t{COMMIT}\nProfile: \t{}", profile())
});

/// The same, as the API tells it.
#[must_use]
pub fn told() -> Value {
    json!({
        "package_ver": env!("CARGO_PKG_VERSION"),
        "git_commit": COMMIT,
        "build_time": "unknown",
        "profile": profile(),
        "rustc": "unknown",
    })
}

const fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}
