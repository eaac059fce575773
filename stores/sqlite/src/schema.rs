//! The tables, and how a file is known to be ours.

use rusqlite::Connection;
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
    required: &["lease", "change"],
    dropped: "whoever claims or renews next makes it anew, and what was held is lost",
};

/// `lease.term` and `lease.note` belong to the present tenure or, where `holder` is null, to the last one: the term
/// record. Times are nanoseconds of the machine's boottime clock in the boot `boot_id`. `touched_micros` is wall clock
/// time, for housekeeping only. The triggers count changes of hands, whoever makes them, so that watchers can tell
/// them from mere renewals. `ttl_ns` outlives the tenure: for so long somebody may believe in it whom a file that came
/// back with an older state does not know of. A row of format 2 is of a tenure that is bound to another one: `bound_to` and
/// `bound_term` say to which, and `expires_ns` is null. Those columns are made with the first bound lease, and null in all
/// other rows.
const TABLES: &str = concat!(
    include_str!("schema/leases.sql"),
    include_str!("schema/generation.sql"),
    include_str!("schema/origin.sql"),
);

/// Makes the columns that tell what a tenure is bound to, in a file in which none was. In the transaction that writes them.
pub(crate) fn make_bindable(db: &Connection) -> rusqlite::Result<()> {
    if has_column(db, "bound_to")? { Ok(()) } else { db.execute_batch(include_str!("schema/bound.sql")) }
}

/// Makes what a file lacks of all this: where the file comes from, and in which of its generations a tenure was granted, which
/// the first versions did not ask (a row of theirs is of none); and whatever somebody has dropped.
pub(crate) fn complete(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(include_str!("schema/leases.sql"))?;
    if !has_column(db, "generation")? {
        db.execute_batch(include_str!("schema/generation.sql"))?;
    }
    db.execute_batch(include_str!("schema/origin.sql"))
}

fn has_column(db: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info('lease') WHERE name = ?1";
    db.prepare_cached(sql)?.query_row([name], |row| Ok(row.get::<_, i64>(0)? > 0))
}
