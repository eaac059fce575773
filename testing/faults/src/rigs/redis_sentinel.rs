//! A Redis master with two replicas behind three Sentinels. A replica that is promoted may lack what the master acknowledged.

use std::time::Duration;

use tenure_test_servers::{Cut, CutOff, Redis, RedisPrograms, RedisSentinels, or_skip};

use super::redis;
use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "redis sentinel",
    start: || {
        let found = or_skip("fault arm on redis sentinel", true, RedisPrograms::find());
        let Some(programs) = found else { return Ok(None) };
        let servers = programs.start_sentinels_apart().map_err(|error| error.to_string())?;
        Ok(Some(Box::new(Sentinel { servers, struck: 0, cut: None })))
    },
};

struct Sentinel {
    servers: RedisSentinels,
    /// The master that was killed, stopped or cut off.
    struck: usize,
    cut: Option<CutOff>,
}

impl Rig for Sentinel {
    fn version(&self) -> String {
        redis::version(&self.servers.sentinels()[0])
    }

    fn failover(&self) -> Duration {
        Duration::from_secs(8)
    }

    fn ports(&self) -> Vec<u16> {
        self.servers.sentinels().iter().chain(self.servers.servers()).map(Redis::port).collect()
    }

    fn announced(&self) -> Vec<u16> {
        let sentinels = self.servers.sentinels().iter().map(Redis::port);
        sentinels.chain((0..self.servers.servers().len()).map(|server| self.servers.named(server))).collect()
    }

    fn client(&self, _worker: usize, ports: &[u16]) -> Client {
        let hosts: Vec<_> = ports[..3].iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Client::at(format!("redis-sentinel://{}/{}", hosts.join(","), RedisSentinels::MASTER))
    }

    fn plays(&self, deed: Deed) -> Plays {
        match deed {
            Deed::Pause | Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Outside,
            // What the servers as a whole do is played on a single one.
            Deed::Kill | Deed::Rewind | Deed::Lose | Deed::StepClock => Plays::Nothing,
        }
    }

    fn remark(&self) -> Option<&'static str> {
        Some("what all servers lose or forget is played on a single one")
    }

    fn save(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn strike(&mut self, deed: Deed) -> Result<(), String> {
        if deed == Deed::Pause {
            self.servers.servers().iter().for_each(Redis::stop);
            return Ok(());
        }
        self.struck = self.servers.master_at();
        match deed {
            Deed::PauseNode => self.servers.servers()[self.struck].stop(),
            Deed::CutOffNode => self.cut = Some(self.servers.cut_off(self.struck, Cut::Silent)),
            _ => self.servers.servers_mut()[self.struck].kill(),
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.servers.servers().iter().for_each(Redis::resume),
            Deed::PauseNode => self.servers.servers()[self.struck].resume(),
            Deed::CutOffNode => self.cut = None,
            _ => self.servers.start_again(self.struck).map_err(|error| error.to_string())?,
        }
        self.servers.wait_until_whole().map_err(|error| error.to_string())
    }

    fn connections(&mut self) -> Option<usize> {
        // Servers and Sentinels have connections of their own, which come and go.
        None
    }
}
