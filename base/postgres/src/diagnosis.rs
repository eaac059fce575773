//! What of the hosts and their settings lets the database forget what it acknowledged, for an operator who asks.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tenure_base_net::diagnosis::{ClockReading, Diagnosis};
use tokio_postgres::Row;
use tokio_postgres::config::TargetSessionAttrs;

use crate::config::Server;
use crate::connections::Connections;
use crate::database::Database;
use crate::error::{Call, DatabaseError};

const ASKED: &str = "select current_setting('server_version'), (extract(epoch from clock_timestamp()) * 1000000)::bigint, \
                     pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', current_setting('fsync'), \
                     current_setting('full_page_writes'), current_setting('synchronous_commit'), \
                     current_setting('synchronous_standby_names'), (select count(*) from pg_stat_replication)";

impl Database {
    /// Asks every host of the URL, whether it takes writes or not. `told` says whether
    /// [notifications arrive](Database::notifications_arrive). A host that does not answer is a remark.
    pub async fn diagnose(&self, told: bool) -> Diagnosis {
        let (mut found, mut writable) = (Diagnosis::default(), 0);
        let hosts = &self.connections.config.servers;
        let asked = join_all(hosts.iter().map(|host| ask(&self.connections, host))).await;
        for (host, asked) in hosts.iter().zip(asked) {
            let at = format!("postgres {}:{}", host.host, host.port);
            let looked = asked.and_then(|(row, clock)| look(&at, &row, clock, &mut writable, &mut found));
            if let Err(error) = looked {
                found.weak(error.to_string(), "see that this host runs, or take it out of the URL");
            }
        }
        if writable > 1 {
            found.weak(
                format!(
                    "{writable} hosts of the URL take writes: whoever reaches another one is granted what is held here"
                ),
                "name the hosts of one cluster alone, of which one is the primary",
            );
        }
        if !told {
            found.weak(
                "notifications do not arrive, as behind a pooler of transactions: a release is noticed late",
                "let the URL name the server itself, or a pooler of sessions",
            );
        }
        found
    }
}

async fn ask(connections: &Connections, host: &Server) -> Result<(Row, ClockReading), DatabaseError> {
    let place = format!("{}:{}", host.host, host.port);
    let asked = async {
        let mut options = connections.options(host);
        options.target_session_attrs(TargetSessionAttrs::Any);
        let (client, connection) = options.connect(connections.tls.clone()).await?;
        // Ends with the client.
        tokio::spawn(async { drop(connection.await) });
        let asked = SystemTime::now();
        let rows = client.query_typed(ASKED, &[]).await?;
        let clock = rows.first().map(|row| row.try_get::<_, i64>(1)).transpose()?.unwrap_or_default();
        let clock = ClockReading::new(clock.unsigned_abs(), Duration::ZERO, asked, SystemTime::now());
        Ok(rows.into_iter().next().map(|row| (row, clock)))
    };
    let nothing = || DatabaseError::lost(Call::Read, &place, "no answer");
    match tokio::time::timeout(connections.config.timeout, asked).await {
        Ok(Ok(answer)) => answer.ok_or_else(nothing),
        Ok(Err(error)) => Err(DatabaseError::of(Call::Read, &place, &error)),
        Err(_) => Err(nothing()),
    }
}

fn look(
    at: &str,
    row: &Row,
    clock: ClockReading,
    writable: &mut usize,
    found: &mut Diagnosis,
) -> Result<(), DatabaseError> {
    if row.try_get(2)? {
        found.well(format!("{at}: takes no writes, and is passed over"));
        return Ok(());
    }
    *writable += 1;
    found.clock.get_or_insert(clock);
    found.version.get_or_insert(format!("PostgreSQL {}", row.try_get::<_, &str>(0)?));
    let (fsync, pages): (&str, &str) = (row.try_get(3)?, row.try_get(4)?);
    for (name, value) in [("fsync", fsync), ("full_page_writes", pages)] {
        if value == "off" {
            found.weak(
                format!("{at}: {name} is off: a crash of its machine can lose what was granted, or the tables"),
                format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()"),
            );
        }
    }
    let (commit, standbys, replicas): (&str, &str, i64) = (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
    if commit == "off" {
        found.weak(
            format!("{at}: synchronous_commit is off for this user: a crash can lose the last grants"),
            "ALTER ROLE CURRENT_USER SET synchronous_commit = on",
        );
    }
    if replicas > 0 && (standbys.is_empty() || matches!(commit, "off" | "local")) {
        found.weak(
            format!("{at}: {replicas} replicas follow asynchronously: one that is promoted may lack the last grants"),
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)', and synchronous_commit = on; SELECT pg_reload_conf()",
        );
    }
    found.well(format!("{at}: takes writes; fsync {fsync}, synchronous_commit {commit}, {replicas} replicas"));
    Ok(())
}
