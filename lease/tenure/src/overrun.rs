//! What becomes of work that does not end.

/// What to do with work that has not ended at its deadline: a task that never yields, a thread that is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOverrun {
    /// Log an error and count `tenure_overruns_total`. From then on only the term protects.
    #[default]
    Report,
    /// Abort the process, so that nothing of the work can act any longer.
    Abort,
}
