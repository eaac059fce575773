//! A single PostgreSQL server. Leases run out by their age by its clock.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tenure_test_servers::{Postgres, PostgresOptions, PostgresPrograms, WallClock, or_skip};

use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "postgres",
    start: || {
        let Some(programs) = or_skip("fault arm on postgres", true, PostgresPrograms::find()) else { return Ok(None) };
        // The server is another user's, who reads its clock from there.
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().map_err(text)?;
        let clock = WallClock::new(&folder.path().join("clock")).map_err(text)?;
        let options = PostgresOptions { clock: clock.clone(), ..PostgresOptions::default() };
        let server = programs.start(options).map_err(text)?;
        Ok(Some(Box::new(Single { server, clock, _folder: folder })))
    },
};

struct Single {
    server: Postgres,
    clock: Option<WallClock>,
    _folder: TempDir,
}

impl Single {
    fn set_clock(&self, offset: &str) -> Result<(), String> {
        self.clock.as_ref().map_or(Ok(()), |clock| clock.set(offset)).map_err(text)
    }
}

impl Rig for Single {
    fn version(&self) -> String {
        self.server.version()
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.server.port()]
    }

    /// Four for its requests, as its documents say, and the one that listens.
    fn connections_to_each(&self) -> usize {
        5
    }

    fn client(&self, worker: usize, ports: &[u16]) -> Client {
        let patience = if worker == 1 { "?timeout=10s" } else { "" };
        Client::at(format!("postgres://postgres@127.0.0.1:{}/postgres{patience}", ports[0]))
    }

    fn plays(&self, deed: Deed) -> Plays {
        match deed {
            Deed::Pause | Deed::Kill => Plays::Inside,
            Deed::Rewind | Deed::Lose => Plays::Outside,
            Deed::StepClock if self.clock.is_some() => Plays::Outside,
            Deed::StepClock => Plays::Missing("libfaketime is absent: apt-get install faketime"),
            Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Nothing,
        }
    }

    fn save(&mut self) -> Result<(), String> {
        self.server.save().map_err(text)
    }

    fn strike(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.server.stop(),
            Deed::StepClock => self.set_clock("+1h")?,
            _ => self.server.kill(),
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.server.resume(),
            Deed::StepClock => self.set_clock("+0")?,
            Deed::Rewind => self.server.rewind().map_err(text)?,
            Deed::Lose => self.server.lose().map_err(text)?,
            _ => self.server.start_again().map_err(text)?,
        }
        Ok(())
    }

    fn connections(&mut self) -> Option<usize> {
        self.server.connections()
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
