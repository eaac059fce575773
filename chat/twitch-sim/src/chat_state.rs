//! How far the chat of a simulator is.

use serde::Serialize;

/// How far the chat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatState {
    /// The start rule does not hold yet.
    Waiting,
    /// Lines flow.
    Running,
    /// All lines of the file were sent, or as many as the limit says.
    Finished,
    /// It was stopped.
    Stopped,
    /// The ledger is full.
    LedgerFull,
}

impl ChatState {
    /// Whether no further line will come.
    pub fn is_over(self) -> bool {
        !matches!(self, ChatState::Waiting | ChatState::Running)
    }
}
