//! A Redis Cluster of three masters with a replica each. A replica that is promoted may lack what the master acknowledged.

use std::time::Duration;

use tenure_test_servers::{Cut, CutOff, Redis, RedisCluster, RedisClusterOptions, RedisPrograms, or_skip};

use super::redis;
use crate::fleet::KEY;
use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "redis cluster",
    start: || {
        let found = or_skip("fault arm on redis cluster", true, RedisPrograms::find());
        let Some(programs) = found else { return Ok(None) };
        let options =
            RedisClusterOptions { replicas: 1, full_coverage: false, apart: true, ..RedisClusterOptions::default() };
        let cluster = programs.start_cluster_with(&options).map_err(|error| error.to_string())?;
        Ok(Some(Box::new(Cluster { cluster, struck: None, cut: None })))
    },
};

struct Cluster {
    cluster: RedisCluster,
    /// The node that was killed, stopped or cut off.
    struck: Option<usize>,
    cut: Option<CutOff>,
}

impl Cluster {
    /// The node that is the master of the key's slot now.
    fn master(&self) -> Result<usize, String> {
        let slot = self.cluster.slot(KEY);
        let nodes = self.cluster.nodes();
        let is_master = |node: &&Redis| {
            let owns = |range: &str| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
            };
            let said = node.cli(["cluster", "nodes"]);
            said.lines().any(|line| line.contains("myself,master") && line.split_whitespace().skip(8).any(owns))
        };
        nodes.iter().position(|node| is_master(&node)).ok_or_else(|| "no node serves the key".to_owned())
    }
}

impl Rig for Cluster {
    fn version(&self) -> String {
        redis::version(&self.cluster.nodes()[0])
    }

    fn failover(&self) -> Duration {
        Duration::from_secs(8)
    }

    fn ports(&self) -> Vec<u16> {
        self.cluster.nodes().iter().map(Redis::port).collect()
    }

    fn announced(&self) -> Vec<u16> {
        (0..self.cluster.nodes().len()).map(|node| self.cluster.named(node)).collect()
    }

    fn client(&self, _worker: usize, ports: &[u16]) -> Client {
        let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Client::at(format!("redis-cluster://{}", hosts.join(",")))
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
        match deed {
            Deed::Pause => self.cluster.nodes().iter().for_each(Redis::stop),
            _ => {
                let master = self.master()?;
                self.struck = Some(master);
                match deed {
                    Deed::PauseNode => self.cluster.nodes()[master].stop(),
                    Deed::CutOffNode => self.cut = Some(self.cluster.cut_off(master, Cut::Silent)),
                    _ => self.cluster.nodes_mut()[master].kill(),
                }
            }
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        if deed == Deed::Pause {
            self.cluster.nodes().iter().for_each(Redis::resume);
        }
        if let Some(struck) = self.struck.take() {
            match deed {
                Deed::PauseNode => self.cluster.nodes()[struck].resume(),
                Deed::CutOffNode => self.cut = None,
                _ => self.cluster.start_again(struck).map_err(|error| error.to_string())?,
            }
        }
        self.cluster.wait_until_replicated().map_err(|error| error.to_string())
    }

    fn connections(&mut self) -> Option<usize> {
        None
    }
}
