//! etcd: one server, and a cluster of three. Leases run out by silence, so that no clock of the server's counts.

use std::time::Duration;

use tenure_test_servers::{Cut, CutOff, Etcd, EtcdOptions, EtcdPrograms, or_skip};

use crate::rig::{Client, Deed, Plays, Rig, Started, Starter};

pub(crate) const STARTER: Starter = Starter { name: "etcd", start: || start("fault arm on etcd", 1) };
pub(crate) const THREE: Starter =
    Starter { name: "etcd, three servers", start: || start("fault arm on etcd, three servers", 3) };

fn start(suite: &str, nodes: usize) -> Started {
    let Some(programs) = or_skip(suite, true, EtcdPrograms::find()) else { return Ok(None) };
    let servers = programs.start_apart(nodes, &EtcdOptions::default()).map_err(text)?;
    Ok(Some(Box::new(Cluster { servers, struck: 0, cut: None })))
}

struct Cluster {
    servers: Etcd,
    /// The server that was killed, stopped or cut off.
    struck: usize,
    cut: Option<CutOff>,
}

impl Cluster {
    fn kill(&mut self) {
        self.servers.nodes().iter_mut().for_each(|node| node.server().kill());
    }
}

impl Rig for Cluster {
    fn version(&self) -> String {
        self.servers.version()
    }

    fn failover(&self) -> Duration {
        Duration::from_secs(if self.servers.count() > 1 { 6 } else { 0 })
    }

    fn ports(&self) -> Vec<u16> {
        self.servers.ports()
    }

    /// The one by which it is told of changes, and what a pool keeps while nobody uses it: a candidate has a step and a look at
    /// the key under way at a time, and after a fault a step that is late.
    fn connections_to_each(&self) -> usize {
        4
    }

    fn client(&self, worker: usize, ports: &[u16]) -> Client {
        let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        // One of them has the patience to be answered after its lease has run out.
        let patience = if worker == 1 { "?timeout=10s" } else { "" };
        Client::at(format!("etcd://{}{patience}", hosts.join(",")))
    }

    fn plays(&self, deed: Deed) -> Plays {
        let alone = self.servers.count() == 1;
        match deed {
            Deed::Pause | Deed::Kill => Plays::Inside,
            Deed::KillNode | Deed::PauseNode | Deed::CutOffNode if alone => Plays::Nothing,
            Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Inside,
            // An older revision and an empty one forget whoever holds.
            Deed::Rewind | Deed::Lose if alone => Plays::Outside,
            Deed::Rewind | Deed::Lose | Deed::StepClock => Plays::Nothing,
        }
    }

    fn remark(&self) -> Option<&'static str> {
        let alone = self.servers.count() == 1;
        (!alone).then_some("what all servers lose or forget is played on a single one")
    }

    fn save(&mut self) -> Result<(), String> {
        self.servers.save().map_err(text)
    }

    fn strike(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.servers.nodes().iter_mut().for_each(|node| node.server().stop()),
            Deed::Kill | Deed::Rewind | Deed::Lose => self.kill(),
            _ => {
                self.struck = self.servers.leader();
                let node = &mut self.servers.nodes()[self.struck];
                match deed {
                    Deed::PauseNode => node.server().stop(),
                    Deed::KillNode => node.server().kill(),
                    _ => self.cut = Some(self.servers.cut_off(self.struck, Cut::Silent)),
                }
            }
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        let struck = self.struck;
        match deed {
            Deed::Pause => self.servers.nodes().iter_mut().for_each(|node| node.server().resume()),
            Deed::PauseNode => self.servers.nodes()[struck].server().resume(),
            Deed::KillNode => self.servers.nodes()[struck].start_again().map_err(text)?,
            Deed::CutOffNode => self.cut = None,
            Deed::Rewind => self.servers.rewind().map_err(text)?,
            Deed::Lose => self.servers.lose().map_err(text)?,
            _ => self.servers.nodes().iter_mut().try_for_each(|node| node.start_again()).map_err(text)?,
        }
        self.servers.wait_until_healthy().map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
