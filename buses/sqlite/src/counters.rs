//! The counters in a bus's file.

use rusqlite::Connection;

/// The counters of a file since it was created, over all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages put onto the bus.
    pub stored: u64,
    /// Messages dropped because their id was there already.
    pub deduplicated: u64,
    /// Messages refused: by the fence, or as too large or not text.
    pub refused: u64,
}

impl Counters {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Counters> {
        let sql = "SELECT stored, deduplicated, refused FROM bus_state";
        connection.prepare_cached(sql)?.query_row([], |row| {
            let count = |column| row.get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
            Ok(Counters { stored: count(0)?, deduplicated: count(1)?, refused: count(2)? })
        })
    }
}
