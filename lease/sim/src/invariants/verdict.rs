//! What an invariant answers when it is asked.

/// What an invariant says: nothing, or the sentence that tells how it was broken.
pub type Verdict = Result<(), String>;
