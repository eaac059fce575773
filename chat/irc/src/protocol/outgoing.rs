//! A line that goes to the server.

use alloc::vec::Vec;
use core::fmt;

use crate::{AssembleError, assemble};

/// One line to write, with its line end. Its debug output hides the token of a PASS line.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    bytes: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(command: &[u8], params: &[&[u8]]) -> Result<Self, AssembleError> {
        let mut bytes = assemble(&[], None, command, params)?;
        bytes.extend_from_slice(b"\r\n");
        Ok(Outgoing { bytes })
    }

    /// The bytes to write; secret if it is a PASS line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: &[u8] = if self.bytes.starts_with(b"PASS") { b"PASS ..\r\n" } else { &self.bytes };
        write!(f, "Outgoing({})", shown.escape_ascii())
    }
}
