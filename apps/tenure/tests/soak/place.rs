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
            Place::Sqlite => Kind::Sqlite { lock: None },
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

    pub(crate) fn url(&self) -> String {
        match &self.kind {
            Kind::Sqlite { .. } => format!("sqlite:{}", self.folder().join("leases.db").display()),
            Kind::Redis { server, .. } => server.url(),
        }
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
