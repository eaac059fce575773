//! The headers of a message that is to be published.

use std::fmt;

/// By this header JetStream drops a second message of the same id, for the duplicate window of its stream.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// By this header a stream stores a message only where the last one of its subject has this stream sequence, 0 where there
/// must be none: compare and swap. What does not fit is refused with [`crate::error_code::WRONG_LAST_SEQUENCE`].
pub const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";

const VERSION: &str = "NATS/1.0\r\n";
/// What ends the block.
const END: &str = "\r\n";

/// A block of headers. One that is used for many messages is [cleared](Headers::clear) between them and keeps its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers(String);

impl Default for Headers {
    fn default() -> Headers {
        Headers::new()
    }
}

impl Headers {
    /// A block with nothing in it.
    pub fn new() -> Headers {
        Headers(VERSION.to_owned())
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.0.truncate(VERSION.len());
    }

    /// Adds a header whose value is put together from these parts. `name` must be a word of ASCII. A control character in the
    /// value becomes `?`, so that no value can end its line.
    pub fn push(&mut self, name: &str, value: &[&str]) {
        self.0.push_str(name);
        self.0.push_str(": ");
        for part in value {
            if part.chars().any(char::is_control) {
                self.0.extend(part.chars().map(|c| if c.is_control() { '?' } else { c }));
            } else {
                self.0.push_str(part);
            }
        }
        self.0.push_str("\r\n");
    }

    /// How many bytes the block takes in a message, with the empty line that ends it.
    pub fn size(&self) -> usize {
        self.0.len() + END.len()
    }

    /// The block, and what ends it.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [self.0.as_bytes(), END.as_bytes()]
    }
}

impl fmt::Display for Headers {
    /// The whole block as it is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{END}", self.0)
    }
}
