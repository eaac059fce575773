//! An error that JetStream answers with.

use serde::Deserialize;

use crate::error::{NatsError, NatsErrorKind};
use crate::error_code;

/// What stands in an answer in place of a result. Nothing was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiError {
    /// As in HTTP: 4xx, or 5xx where it may pass.
    pub code: u16,
    /// The number of the error, see [`error_code`]; 0 where whoever answered is no JetStream.
    pub err_code: u32,
    /// The error in the server's words.
    pub description: String,
}

impl ApiError {
    /// What it means for the request that met it; `doing` says in the text what that was.
    pub fn into_error(self, doing: &str) -> NatsError {
        let ApiError { code, err_code, description } = self;
        let kind = if error_code::NOT_ENABLED.contains(&err_code) {
            NatsErrorKind::Invalid
        } else if error_code::OUT_OF_RESOURCES.contains(&err_code) {
            NatsErrorKind::Unavailable
        } else if code >= 500 || err_code == error_code::NO_PEERS {
            NatsErrorKind::NoResponders
        } else {
            NatsErrorKind::Invalid
        };
        NatsError::new(kind, format!("{doing}: {description} (error {err_code})"))
    }
}
