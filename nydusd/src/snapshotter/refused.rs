//! Why a request is refused, and how that is told.

use http::StatusCode;
use serde_json::{Value, json};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The request makes no sense.
    #[error("{0}")]
    Bad(String),
    /// There is no such mount, or no such endpoint.
    #[error("{0}")]
    Unknown(String),
    /// It cannot be done now.
    #[error("{0}")]
    NotNow(String),
    /// Nobody has written it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
}

impl Refused {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The body of the answer. The code is the only one that nydusd ever had.
    #[must_use]
    pub fn told(&self) -> Value {
        json!({ "code": "UNDEFINED", "message": self.to_string() })
    }

    pub(super) fn failed(error: &anyhow::Error) -> Self {
        Self::Failed(image::causes(error.as_ref()))
    }
}
