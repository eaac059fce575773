//! What a bus's file counts.

/// What the file has counted since it was made, over all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages put onto the bus.
    pub stored: u64,
    /// Messages dropped because their id was there already.
    pub deduplicated: u64,
    /// Messages refused: by the fence, or as too large or not text.
    pub refused: u64,
}
