//! A SQLite file: no server and no connection; it can be locked, replaced by an older copy, and lost.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "sqlite",
    start: || {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Some(Box::new(Sqlite { folder, lock: None })))
    },
};

struct Sqlite {
    folder: TempDir,
    /// The connection that keeps everybody from writing.
    lock: Option<Connection>,
}

impl Sqlite {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Rig for Sqlite {
    fn version(&self) -> String {
        rusqlite::version().to_owned()
    }

    fn ports(&self) -> Vec<u16> {
        Vec::new()
    }

    fn client(&self, _worker: usize, _ports: &[u16]) -> Client {
        Client::at(format!("sqlite:{}", self.path("leases.db").display()))
    }

    fn plays(&self, deed: Deed) -> Plays {
        match deed {
            Deed::Pause | Deed::Rewind => Plays::Inside,
            Deed::Lose => Plays::Outside,
            // There is no server that could be killed, and its clock is the machine's own, which nobody can set.
            Deed::Kill | Deed::StepClock | Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Nothing,
        }
    }

    fn remark(&self) -> Option<&'static str> {
        Some("there is no server to kill, and the clock is the machine's own")
    }

    fn save(&mut self) -> Result<(), String> {
        let copy = self.path("saved.db");
        let _ = std::fs::remove_file(&copy);
        let file = Connection::open(self.path("leases.db")).map_err(text)?;
        file.busy_timeout(Duration::from_secs(5)).map_err(text)?;
        file.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map(drop).map_err(text)
    }

    fn strike(&mut self, deed: Deed) -> Result<(), String> {
        if deed == Deed::Pause {
            let lock = Connection::open(self.path("leases.db")).map_err(text)?;
            lock.busy_timeout(Duration::from_secs(5)).map_err(text)?;
            lock.execute_batch("BEGIN IMMEDIATE").map_err(text)?;
            self.lock = Some(lock);
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.lock = None,
            Deed::Rewind => {
                std::fs::copy(self.path("saved.db"), self.path("copy.db")).map_err(text)?;
                std::fs::rename(self.path("copy.db"), self.path("leases.db")).map_err(text)?;
            }
            // Its log goes as well, or the next file of that name would be read with it.
            _ => ["leases.db", "leases.db-wal", "leases.db-shm"].iter().for_each(|name| {
                let _ = std::fs::remove_file(self.path(name));
            }),
        }
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
