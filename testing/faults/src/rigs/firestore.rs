//! Google's Firestore emulator, which keeps everything in memory: a kill loses all of it.

use std::time::Duration;

use tenure_test_servers::{Firestore, FirestorePrograms, or_skip};

use crate::rig::{Client, Deed, Plays, Rig, Starter};

pub(crate) const STARTER: Starter = Starter {
    name: "firestore emulator",
    start: || {
        let found = or_skip("fault arm on firestore emulator", false, FirestorePrograms::find());
        let Some(programs) = found else { return Ok(None) };
        let server = programs.start().map_err(|error| error.to_string())?;
        let project = server.new_project();
        Ok(Some(Box::new(Emulator { server, project })))
    },
};

struct Emulator {
    server: Firestore,
    project: String,
}

impl Rig for Emulator {
    fn version(&self) -> String {
        self.server.version()
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.server.port()]
    }

    /// What a pool keeps while nobody uses it: a candidate has a step, a look at the key and a look for changes under way at a
    /// time, and after a fault a step that is late.
    fn connections_to_each(&self) -> usize {
        4
    }

    fn client(&self, _worker: usize, ports: &[u16]) -> Client {
        Client::at(format!("firestore://{}?emulator=127.0.0.1:{}&poll=200ms", self.project, ports[0]))
    }

    fn plays(&self, deed: Deed) -> Plays {
        match deed {
            Deed::Pause => Plays::Inside,
            Deed::Lose => Plays::Outside,
            // It keeps nothing that it could come back with, and Java's clock cannot be set.
            Deed::Kill | Deed::Rewind | Deed::StepClock => Plays::Nothing,
            Deed::KillNode | Deed::PauseNode | Deed::CutOffNode => Plays::Nothing,
        }
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "the emulator keeps nothing over a restart, so that a kill is played as data_lost, and its clock cannot be set",
        )
    }

    fn save(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn strike(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.server.server().stop(),
            _ => self.server.server().kill(),
        }
        Ok(())
    }

    fn mend(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Pause => self.server.server().resume(),
            _ => self.server.start_again().map_err(|error| error.to_string())?,
        }
        Ok(())
    }
}
