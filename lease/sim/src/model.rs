//! The model of the store that a simulation is played on.

use std::fmt;

/// Which kind of store candidates ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A store that takes each step itself: memory, SQLite, Redis.
    Scripted,
    /// Records with compare-and-swap on a server that tells how old they are.
    Age,
    /// Records with compare-and-swap on a server without a clock: only silence tells that a holder is gone.
    Silence,
}

impl Model {
    /// All of them.
    pub const ALL: [Model; 3] = [Model::Scripted, Model::Age, Model::Silence];

    /// Whether the server keeps records, and candidates take the steps.
    pub fn has_records(self) -> bool {
        self != Model::Scripted
    }

    /// Whether the store tells since when it knows of every tenure, where it came back with an older state.
    pub fn notices_older_states(self) -> bool {
        self != Model::Silence
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Model::Scripted => "scripted",
            Model::Age => "age",
            Model::Silence => "silence",
        })
    }
}
