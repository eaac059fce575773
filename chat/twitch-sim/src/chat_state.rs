//! The state of a simulator's chat.

use serde::Serialize;

/// The state of the chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatState {
    /// The start rule is not fulfilled yet.
    Waiting,
    /// Lines are being sent.
    Running,
    /// All lines of the file were sent, or as many as the limit says.
    Finished,
    /// The chat was stopped.
    Stopped,
    /// The ledger is full.
    LedgerFull,
}

impl ChatState {
    /// Whether no further line will be sent.
    pub fn is_over(self) -> bool {
        !matches!(self, ChatState::Waiting | ChatState::Running)
    }
}
