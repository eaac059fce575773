//! Where the leases of a round lie, and how that place goes away and comes back.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Sqlite,
    Redis,
}

/// A store for one fault's rounds, in a folder of its own.
pub(crate) struct Store {
    folder: TempDir,
    kind: Kind,
}

enum Kind {
    Sqlite { lock: Option<Connection> },
    Redis { server: Box<Redis>, killed: bool },
}

impl Place {
    pub(crate) const ALL: &[Place] = &[Place::Sqlite, Place::Redis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Sqlite => "sqlite",
            Place::Redis => "redis",
        }
    }

    /// Opens it; `None` where its server is not on this machine.
    pub(crate) fn open(self) -> Option<Store> {
        let folder = tempfile::tempdir().unwrap();
        let kind = match self {
            Place::Sqlite => {
                std::os::unix::fs::symlink("leases.db", folder.path().join("linked.db")).unwrap();
                Kind::Sqlite { lock: None }
            }
            Place::Redis => {
                let programs = or_skip("soak on redis", true, RedisPrograms::find())?;
                let server = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
                Kind::Redis { server: Box::new(server), killed: false }
            }
        };
        Some(Store { folder, kind })
    }
}

impl Store {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As one of the candidates names it: every other one goes through a symlink.
    pub(crate) fn url(&self, candidate: usize) -> String {
        match &self.kind {
            Kind::Sqlite { .. } => {
                let name = if candidate.is_multiple_of(2) { "leases.db" } else { "linked.db" };
                format!("sqlite:{}", self.folder().join(name).display())
            }
            Kind::Redis { server, .. } => server.url(),
        }
    }

    /// Removes the log of the file that everybody has open, as a careless hand does.
    pub(crate) fn remove_log(&self) -> Result<(), String> {
        ["leases.db-wal", "leases.db-shm"].iter().try_for_each(|name| {
            std::fs::remove_file(self.folder().join(name)).map_err(|error| format!("{name}: {error}"))
        })
    }

    /// From now on nobody gets an answer.
    pub(crate) fn go_away(&mut self) -> Result<(), String> {
        let path = self.folder.path().join("leases.db");
        match &mut self.kind {
            Kind::Sqlite { lock } => {
                let connection = Connection::open(path).map_err(|error| error.to_string())?;
                connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(|error| error.to_string())?;
                connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| error.to_string())?;
                *lock = Some(connection);
            }
            // Killed in one round, stopped in the next.
            Kind::Redis { server, killed } => {
                *killed = !*killed;
                if *killed { server.kill() } else { server.stop() }
            }
        }
        Ok(())
    }

    /// It answers again, and has what it had.
    pub(crate) fn come_back(&mut self) -> Result<(), String> {
        match &mut self.kind {
            Kind::Sqlite { lock } => drop(lock.take()),
            Kind::Redis { server, killed: true } => server.start_again().map_err(|error| error.to_string())?,
            Kind::Redis { server, .. } => server.resume(),
        }
        Ok(())
    }
}
