//! What an image runs on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an image runs on: operating system, architecture, and perhaps a variant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `linux`, …
    pub os: String,
    /// `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// `os.version` and whatever else there is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no platform: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as linux/arm64")]
pub struct PlatformError(String);

impl Platform {
    /// Whether this is what `asked` asks for; what it leaves open does not matter.
    #[must_use]
    pub fn is(&self, asked: &Self) -> bool {
        self.os == asked.os
            && self.architecture == asked.architecture
            && (asked.variant.is_none() || self.variant == asked.variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let bad = || PlatformError(text.to_owned());
        let mut parts = text.split('/').map(str::to_owned);
        let (Some(os), Some(architecture)) = (parts.next(), parts.next()) else {
            return Err(bad());
        };
        let variant = parts.next();
        let empty = os.is_empty() || architecture.is_empty();
        if empty || variant.as_deref() == Some("") || parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self { architecture, os, variant, other: Map::new() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_does_not_matter() {
        let of = |text: &str| text.parse::<Platform>().unwrap();
        assert!(of("linux/arm64/v8").is(&of("linux/arm64")));
        assert!(!of("linux/arm64").is(&of("linux/arm64/v8")));
        assert!(!of("linux/arm64").is(&of("linux/amd64")));
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/arm/"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
