//! What a server has answered.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CallError;

/// What a server has answered, with any status. Shows no body: an answer may hold a secret.
#[derive(Clone)]
pub struct Answer {
    pub(crate) place: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How many signs of a server's message are shown.
const MAX_MESSAGE: usize = 300;

impl Answer {
    /// Host and port of the server.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of a header, where it is there and a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What the server says of a refusal: the member `message` or `error` of a JSON object, else how the text begins.
    pub fn message(&self) -> String {
        let object = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let text = object["message"].as_str().or(object["error"].as_str()).map(Cow::Borrowed);
        let text = text.unwrap_or_else(|| String::from_utf8_lossy(&self.body));
        text.trim().chars().take(MAX_MESSAGE).collect()
    }

    /// Without its body where that is no JSON object that names a `message` or an `error`: a server of another kind may repeat
    /// what it was sent.
    pub(crate) fn without_echo(mut self) -> Answer {
        let object = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        if !object["message"].is_string() && !object["error"].is_string() {
            self.body = Bytes::from(format!("answers with status {}", self.status));
        }
        self
    }

    /// The body as a value. What is not such JSON leaves unknown what the server has done; the error shows nothing of the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (place, status) = (&self.place, self.status);
            let (line, column) = (error.line(), error.column());
            CallError::Unknown(format!(
                "{place}: the answer ({status}) is not as expected at line {line}, column {column}"
            ))
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} from {}, {} bytes)", self.status, self.place, self.body.len())
    }
}
