//! How the watchdog ends a command with all that it started, and what it says of it.
//!
//! Everything that an end needs is made before the command starts: a limit that the command has reached by then (processes,
//! descriptors, memory) keeps nothing alive.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getpid};

use crate::process::Descendants;
use crate::process::cgroup::Cgroup;
use crate::run::toll::Toll;
use crate::run::unreached::Unreached;

/// How much earlier killing begins for each process that there is. Looking for it, signalling it and its dying took 190 to
/// 270 us of 100 to 8,000 sleeping programs on two processors; most of that is the dying.
const EACH: Duration = Duration::from_micros(300);
/// The same in a group of its own, where one write is enough: nothing runs any more after it, but its dying takes time.
const EACH_IN_GROUP: Duration = Duration::from_micros(100);
/// How many are named before the one write that ends them.
const LOOKED_AT: usize = 8;
/// How many are moved to the group at once, which takes 0.1 ms for each.
const MOVED_AT_ONCE: usize = 32;
/// Who was forked during the first pass by somebody that was not moved yet is found by the second.
const PASSES: usize = 2;
/// So many kills may be refused in a group of its own, where the one write reaches those with other rights too: they are
/// dying then.
const DYING: u32 = 32;

/// Ends what was started, for as long as anything is left.
#[derive(Debug)]
pub(super) struct Killer {
    descendants: Descendants,
    /// Where the command is to run, where there can be such a group.
    group: Option<Cgroup>,
    /// Whether the command has been seen in it.
    contained: bool,
    /// Who was asked to end after the command had.
    pub(super) asked: Toll,
    /// Who was killed.
    pub(super) killed: Toll,
    unreached: Unreached,
    kills: u32,
}

impl Killer {
    /// Makes what an end needs. Fails where processes cannot be looked at.
    pub(super) fn new() -> Result<Killer> {
        let descendants = Descendants::new().context("cannot look at processes: is /proc mounted?")?;
        let group = match Cgroup::make() {
            Ok(group) => Some(group),
            Err(why) => {
                tracing::debug!(component = "watchdog", why, "no control group for the command");
                None
            }
        };
        let (asked, killed, unreached) = (Toll::new(), Toll::new(), Unreached::new());
        Ok(Killer { descendants, group, contained: false, asked, killed, unreached, kills: 0 })
    }

    /// The group that the command is to run in.
    pub(super) fn group(&self) -> Option<&Cgroup> {
        self.group.as_ref()
    }

    /// A command begins: nothing of the one before is left.
    pub(super) fn begin(&mut self) {
        self.contained = false;
        self.kills = 0;
        self.asked.clear();
        self.killed.clear();
        self.unreached.clear();
    }

    /// Moves the command and what it has started to its group. What is not found by then, or forked meanwhile by who was not
    /// moved yet, is ended one by one.
    pub(super) fn gather(&mut self) {
        let Some(group) = &self.group else { return };
        for _ in 0..PASSES {
            self.descendants.look(getpid(), MOVED_AT_ONCE, |pid, _| group.take(pid));
        }
    }

    /// How much earlier than otherwise killing has to begin for what runs at the moment.
    pub(super) fn time_for(&mut self, command: Pid) -> Duration {
        if let Some(group) = &self.group {
            let (count, holds) = group.members(command);
            self.contained |= holds;
            if self.contained {
                // What others have moved to groups of their own (containers, sessions) is killed one by one all the same.
                let moved = self.descendants.count(getpid()).saturating_sub(count);
                return times(EACH_IN_GROUP, count) + times(EACH, moved);
            }
        }
        times(EACH, self.descendants.count(getpid()))
    }

    /// Signals a child of this process.
    pub(super) fn signal_child(&mut self, pid: Pid, signal: Signal) {
        let sent = self.descendants.signal_child(pid, signal);
        if !self.contained {
            self.unreached.hear(pid, sent);
        }
    }

    /// Kills a child of this process with everything below it.
    pub(super) fn kill_child(&mut self, pid: Pid) {
        self.descendants.signal(pid, Signal::KILL, |_, _| {});
        self.descendants.signal_child(pid, Signal::KILL);
    }

    /// Asks everything below this process to end with this signal, also what is stopped. The hook is no part of what the
    /// command has left.
    pub(super) fn ask(&mut self, signal: Signal, hook: Option<Pid>) {
        let Killer { descendants, asked, unreached, contained, .. } = self;
        descendants.signal(getpid(), signal, |pid, sent| {
            if Some(pid) != hook {
                asked.note(pid, sent);
            }
            if !*contained {
                unreached.hear(pid, sent);
            }
        });
        descendants.signal(getpid(), Signal::CONT, |_, _| {});
    }

    /// Kills everything below this process. What is forked meanwhile may be missed where it has no group of its own: to be
    /// called again until nothing is left.
    pub(super) fn kill(&mut self) {
        let Killer { descendants, killed, unreached, group, contained, kills, .. } = self;
        *kills = kills.saturating_add(1);
        let patient = *contained && *kills < DYING;
        if let Some(group) = group {
            // Afterwards they have no names any more.
            if killed.is_empty() {
                descendants.look(getpid(), LOOKED_AT, |pid, comm| {
                    killed.add(pid, comm);
                });
            }
            group.kill();
        }
        descendants.signal(getpid(), Signal::KILL, |pid, sent| {
            killed.note(pid, sent);
            if !patient {
                unreached.hear(pid, sent);
            }
        });
    }
}

fn times(each: Duration, count: usize) -> Duration {
    each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}
