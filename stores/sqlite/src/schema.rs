//! The tables, and how a file is known to be ours.

use tenure_base_sqlite::{Format, LEASES_ID};

/// A file of leases: known by its application id, its version in PRAGMA user_version.
pub(crate) static FORMAT: Format = Format {
    what: "a lease store",
    version: 1,
    version_of: |connection| {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if pragma("application_id")? == LEASES_ID { pragma("user_version").map(Some) } else { Ok(None) }
    },
    tables: TABLES,
};

/// `lease.term` and `lease.note` belong to the present tenure or, where `holder` is null, to the last one: the term
/// record. Times are nanoseconds of the machine's boottime clock in the boot `boot_id`. `touched_micros` is wall clock
/// time, for housekeeping only. The triggers count changes of hands, whoever makes them, so that watchers can tell
/// them from mere renewals. `ttl_ns` outlives the tenure: for so long somebody may believe in it whom a file that came
/// back with an older state does not know of.
const TABLES: &str = concat!(include_str!("schema/leases.sql"), include_str!("schema/origin.sql"));

/// What the files of the first versions lack: where the file comes from, and in which of its generations a tenure was
/// granted. A row of those versions, and one that such a program writes, is of none.
pub(crate) const ORIGIN: &str = include_str!("schema/origin.sql");
