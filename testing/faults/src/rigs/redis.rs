//! A single Redis server that writes every change to disk before it is answered.

use tempfile::TempDir;
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, WallClock, or_skip};

use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "redis",
    start: || {
        let Some(programs) = or_skip("fault arm on redis", true, RedisPrograms::find()) else { return Ok(None) };
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let clock = WallClock::new(&folder.path().join("clock")).map_err(|error| error.to_string())?;
        let options = RedisOptions { durable: true, clock: clock.clone(), ..RedisOptions::default() };
        let server = programs.start(options).map_err(|error| error.to_string())?;
        Ok(Some(Box::new(Single { server, clock, _folder: folder })))
    },
};

struct Single {
    server: Redis,
    clock: Option<WallClock>,
    _folder: TempDir,
}

impl Rig for Single {
    fn version(&self) -> String {
        version(&self.server)
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.server.port()]
    }

    fn client(&self, worker: usize, ports: &[u16]) -> Client {
        // One of them has the patience to be answered after its lease has run out.
        let patience = if worker == 1 { "?timeout=10s" } else { "" };
        Client::at(format!("redis://127.0.0.1:{}{patience}", ports[0]))
    }

    fn plays(&self, deed: Deed) -> Plays {
        match deed {
            // The store waits out a ttl after each restart, so it does not matter what the server has forgotten.
            Deed::Pause | Deed::Kill | Deed::Rewind => Plays::Inside,
            Deed::Lose => Plays::Outside,
            Deed::StepClock if self.clock.is_some() => Plays::Outside,
            Deed::StepClock => Plays::Missing("libfaketime is absent: apt-get install faketime"),
            Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Nothing,
        }
    }

    fn save(&mut self) -> Result<(), String> {
        self.server.save().map_err(|error| error.to_string())
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
            Deed::Rewind => self.server.rewind().map_err(|error| error.to_string())?,
            Deed::Lose => self.server.lose().map_err(|error| error.to_string())?,
            _ => self.server.start_again().map_err(|error| error.to_string())?,
        }
        Ok(())
    }

    fn connections(&mut self) -> Option<usize> {
        connections(&self.server)
    }
}

impl Single {
    fn set_clock(&self, offset: &str) -> Result<(), String> {
        self.clock.as_ref().map_or(Ok(()), |clock| clock.set(offset)).map_err(|error| format!("its clock: {error}"))
    }
}

pub(crate) fn version(server: &Redis) -> String {
    field(server, "server", "redis_version").unwrap_or_else(|| "unknown".to_owned())
}

/// Those of others than the one that asks.
pub(crate) fn connections(server: &Redis) -> Option<usize> {
    field(server, "clients", "connected_clients")?.parse::<usize>().ok()?.checked_sub(1)
}

fn field(server: &Redis, section: &str, name: &str) -> Option<String> {
    let said = server.cli(["info", section]);
    said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
}
