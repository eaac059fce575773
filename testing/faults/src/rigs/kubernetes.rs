//! A kube-apiserver over an etcd of its own. Leases run out by silence, so that no clock of the server's counts.

use std::time::Duration;

use tenure_test_servers::{Kube, KubePrograms, or_skip};

use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "kubernetes",
    start: || {
        let found = or_skip("fault arm on kubernetes", false, KubePrograms::find());
        let Some(programs) = found else { return Ok(None) };
        let server = programs.start().map_err(text)?;
        Ok(Some(Box::new(Api { server })))
    },
};

struct Api {
    server: Kube,
}

impl Rig for Api {
    fn version(&self) -> String {
        self.server.version()
    }

    /// The field of a Lease that says it has whole seconds.
    fn ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// The server answers that it is ready some time before it has caught up with its etcd.
    fn failover(&self) -> Duration {
        Duration::from_secs(4)
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.server.port()]
    }

    /// The one by which it is told of changes, and what a pool keeps while nobody uses it: a candidate has a step and a look at
    /// the key under way at a time, and after a fault a step that is late. A connection that is begun while another becomes
    /// free is kept too.
    fn connections_to_each(&self) -> usize {
        6
    }

    fn client(&self, _worker: usize, ports: &[u16]) -> Client {
        // Written once for each port; nothing but a full disk keeps it from that.
        let config = self.server.config_at(ports[0]).unwrap_or_default();
        Client::at(format!("kubernetes:default?kubeconfig={}", config.display()))
    }

    fn plays(&self, deed: Deed) -> Plays {
        match deed {
            Deed::Pause | Deed::Kill => Plays::Inside,
            Deed::Rewind | Deed::Lose => Plays::Outside,
            Deed::StepClock | Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Nothing,
        }
    }

    fn save(&mut self) -> Result<(), String> {
        self.server.save().map_err(text)
    }

    fn strike(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.server.stop(),
            _ => self.server.kill(),
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.server.resume(),
            Deed::Rewind => self.server.rewind().map_err(text)?,
            Deed::Lose => self.server.lose().map_err(text)?,
            _ => self.server.start_again().map_err(text)?,
        }
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
