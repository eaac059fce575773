//! Servers and workers together: what a fault has at hand, and how long what follows it may take.

use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::{Fleet, LONG_LIVED, Leader};
use crate::journal::boottime;
use crate::rig::Rig;

/// What a busy machine may take besides.
const SLACK: Duration = Duration::from_secs(2);

pub(crate) struct Arena {
    pub(crate) rig: Box<dyn Rig>,
    pub(crate) fleet: Fleet,
    pub(crate) ttl: Duration,
}

/// What came of one fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// How long it took until the key was taken again.
    pub(crate) retaken: Duration,
    /// How long it may have taken.
    pub(crate) bound: Duration,
    /// A span in which nobody may have begun to act.
    pub(crate) nobody: Option<(Duration, Duration)>,
}

impl Arena {
    /// The bound after a holder has been lost: what is left of its ttl, one request that is given up, and the next attempt.
    pub(crate) fn after_a_loss(&self) -> Duration {
        2 * self.ttl + SLACK
    }

    /// The bound after servers answer again: they may wait out a ttl for what they may have forgotten.
    pub(crate) fn after_mending(&self) -> Duration {
        2 * self.ttl + SLACK + self.rig.failover()
    }

    /// As long as it takes for everybody to be out of time.
    pub(crate) fn outlast(&self) {
        std::thread::sleep(self.ttl * 3 / 2);
    }

    /// Waits for the next tenure, and answers how long after `from` it began to act.
    pub(crate) fn followed(&mut self, leader: Leader, from: Duration) -> Result<(Leader, Duration), String> {
        let (next, began) = self.fleet.act("the next leader", |act| act.term > leader.term)?;
        Ok((next, began.saturating_sub(from)))
    }

    /// Has the leader hand over to somebody else, and waits for the next tenure.
    pub(crate) fn hand_over(&mut self, leader: Leader) -> Result<(Leader, Duration), String> {
        let from = boottime();
        self.fleet.signal(leader.worker, Signal::USR2);
        self.followed(leader, from)
    }

    /// Has the leader resign, and waits for the next tenure, whosever it is.
    pub(crate) fn resign(&mut self) -> Result<(), String> {
        let leader = self.fleet.acting()?;
        self.fleet.signal(leader.worker, Signal::USR1);
        self.followed(leader, boottime()).map(drop)
    }

    /// A leader that may be killed.
    pub(crate) fn mortal_leader(&mut self) -> Result<Leader, String> {
        loop {
            let leader = self.fleet.settled()?;
            if leader.worker != LONG_LIVED {
                return Ok(leader);
            }
            self.hand_over(leader)?;
        }
    }
}
