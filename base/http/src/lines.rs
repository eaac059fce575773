//! An answer that does not end: lines, as they come.

use std::fmt;

use crate::error::{CallError, broken};

/// The lines of an answer, in order.
pub struct Lines {
    pub(crate) place: String,
    pub(crate) response: reqwest::Response,
    pub(crate) max_line: usize,
    pub(crate) buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line end.
    pub(crate) searched: usize,
}

impl Lines {
    /// The next line without its end, as soon as it is there; empty lines are passed over. `None` where the server has ended the
    /// answer. Waits without a bound: a server that has nothing to say is silent, and TCP's keepalive finds out within half a
    /// minute that it is gone. May be dropped while it waits; nothing is lost by that.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        loop {
            while let Some(line) = self.take_line() {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > self.max_line {
                return Err(CallError::Unknown(format!(
                    "{}: a line is longer than {} bytes",
                    self.place, self.max_line
                )));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => {
                    self.searched = 0;
                    return Ok(Some(std::mem::take(&mut self.buffer)));
                }
                Err(error) => return Err(broken(&self.place, &error)),
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(found) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.searched + found + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines(from {})", self.place)
    }
}
