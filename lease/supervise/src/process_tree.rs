//! Everything below this process, and the control group of its command: stopped, killed, and listed for messages.

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid};

use crate::control_group::ControlGroup;
use crate::descendants::Descendants;
use crate::kill_all::kill_and_reap_all;
use crate::notice::{Notice, Notify};
use crate::process_list::ProcessList;
use crate::signal::Delivery;

/// How long one process takes to be found, signalled and dead. Measured: 190 to 270 us, of 100 to 8,000 sleeping programs on two
/// processors; most of that is the dying.
const EACH: Duration = Duration::from_micros(300);
/// The same in a control group, where one write kills all: nothing runs any more after it, but the dying takes time.
const EACH_IN_GROUP: Duration = Duration::from_micros(100);
/// How many processes are listed by name before the one write that kills them.
const NAMED: usize = 8;
/// How many processes are moved to the control group in one pass, which takes 0.1 ms for each.
const MOVED_AT_ONCE: usize = 32;
/// A child forked during the first pass by a process that was not moved yet is found by the second.
const PASSES: usize = 2;
/// In a control group one write also reaches processes that run as another user. So many refused kills may go by before such
/// a process counts as out of reach: until then it is dying.
const DYING: u32 = 32;

/// The processes below this one, for as long as any is left. Everything that killing needs is made with it, before the command
/// starts: a limit (processes, descriptors, memory) that the command has reached by then keeps nothing alive.
#[derive(Debug)]
pub struct ProcessTree {
    descendants: Descendants,
    /// The control group that the command is moved to, where this process can make one.
    group: Option<ControlGroup>,
    /// Whether the command has been seen in the group.
    is_contained: bool,
    /// Processes that were sent the stop signal after the command had exited.
    stopped: ProcessList,
    killed: ProcessList,
    /// Processes that this one may not signal.
    not_permitted: ProcessList,
    /// How often everything was killed.
    kills: u32,
    notify: Notify,
}

impl ProcessTree {
    /// Makes what killing needs, with a control group where there can be one. Fails where `/proc` is not mounted.
    pub fn new(notify: Notify) -> io::Result<ProcessTree> {
        let mut tree = ProcessTree::without_control_group(notify)?;
        tree.group = match ControlGroup::create() {
            Ok(group) => Some(group),
            Err(why) => {
                tracing::debug!(component = "supervise", why, "no control group for the command");
                None
            }
        };
        Ok(tree)
    }

    /// Makes what killing one by one needs. Fails where `/proc` is not mounted.
    pub fn without_control_group(notify: Notify) -> io::Result<ProcessTree> {
        Ok(ProcessTree {
            descendants: Descendants::new()?,
            group: None,
            is_contained: false,
            stopped: ProcessList::new(),
            killed: ProcessList::new(),
            not_permitted: ProcessList::new(),
            kills: 0,
            notify,
        })
    }

    /// The folder of the command's control group, where there is one.
    pub fn control_group(&self) -> Option<&Path> {
        self.group.as_ref().map(ControlGroup::folder)
    }

    /// What had to be stopped or killed, in a line for the user; `None` where nothing had to. A command that put itself into the
    /// background has exited by itself, and left something running that had to end with it.
    pub fn summary(&self, exited_by_itself: bool) -> Option<String> {
        let ProcessTree { stopped, killed, .. } = self;
        if !stopped.is_empty() && exited_by_itself {
            let hard = if killed.is_empty() { String::new() } else { format!("; killed: {killed}") };
            return Some(format!(
                "the command has ended and left {} running, which had to end with it: {stopped}{hard}; what is to go on must stay \
                 in the foreground",
                stopped.count()
            ));
        }
        (!killed.is_empty()).then(|| format!("killed what had not ended in time: {killed}"))
    }

    /// Prepares for another command: nothing of the one before is left.
    pub fn reset(&mut self) {
        self.is_contained = false;
        self.kills = 0;
        for list in [&mut self.stopped, &mut self.killed, &mut self.not_permitted] {
            list.clear();
        }
    }

    /// Moves the command and what it has started to the control group. A process that is missed here is killed one by one.
    pub fn contain(&mut self) {
        let Some(group) = &self.group else { return };
        for _ in 0..PASSES {
            self.descendants.for_each(getpid(), MOVED_AT_ONCE, |pid, _| group.add(pid));
        }
    }

    /// How long killing everything takes that runs at the moment.
    pub fn time_to_kill(&mut self, command: Pid) -> Duration {
        if let Some(group) = &self.group {
            let (count, holds_command) = group.members(command);
            self.is_contained |= holds_command;
            if self.is_contained {
                // What others have moved to groups of their own (containers, sessions) is killed one by one all the same.
                let elsewhere = self.descendants.count(getpid()).saturating_sub(count);
                return times(EACH_IN_GROUP, count) + times(EACH, elsewhere);
            }
        }
        times(EACH, self.descendants.count(getpid()))
    }

    /// Signals a child of this process.
    pub fn signal_child(&mut self, pid: Pid, signal: Signal) {
        let delivery = self.descendants.signal_child(pid, signal);
        if !self.is_contained {
            note_refusal(&mut self.not_permitted, self.notify, pid, delivery);
        }
    }

    /// Kills a child of this process with everything below it.
    pub fn kill_child(&mut self, pid: Pid) {
        self.descendants.signal(pid, Signal::KILL, |_, _| {});
        self.descendants.signal_child(pid, Signal::KILL);
    }

    /// Sends everything below this process the stop signal, and SIGCONT so that stopped processes get it too. `side` is no part of
    /// what the command has left running.
    pub fn stop(&mut self, signal: Signal, side: Option<Pid>) {
        let ProcessTree { descendants, stopped, not_permitted, is_contained, notify, .. } = self;
        descendants.signal(getpid(), signal, |pid, delivery| {
            if Some(pid) != side {
                stopped.add_delivered(pid, delivery);
            }
            if !*is_contained {
                note_refusal(not_permitted, *notify, pid, delivery);
            }
        });
        descendants.signal(getpid(), Signal::CONT, |_, _| {});
    }

    /// Kills everything below this process. Where there is no control group a process that is forked meanwhile may be missed: to
    /// be called again until no child is left.
    pub fn kill(&mut self) {
        let ProcessTree { descendants, killed, not_permitted, group, is_contained, kills, notify, .. } = self;
        *kills = kills.saturating_add(1);
        let may_be_dying = *is_contained && *kills < DYING;
        if let Some(group) = group {
            // Afterwards they have no names any more.
            if killed.is_empty() {
                descendants.for_each(getpid(), NAMED, |pid, comm| {
                    killed.add(pid, comm);
                });
            }
            group.kill();
        }
        descendants.signal(getpid(), Signal::KILL, |pid, delivery| {
            killed.add_delivered(pid, delivery);
            if !may_be_dying {
                note_refusal(not_permitted, *notify, pid, delivery);
            }
        });
    }

    /// Kills and reaps everything below this process one by one, as [`kill_and_reap_all`] does. `except` is a process that was killed
    /// already and is not listed among the killed.
    pub fn kill_and_reap_all(&mut self, wanted: Option<Pid>, except: Option<Pid>) -> Option<ExitStatus> {
        self.reset();
        let ProcessTree { descendants, killed, not_permitted, notify, .. } = self;
        kill_and_reap_all(descendants, wanted, |pid, delivery| {
            if Some(pid) != except {
                killed.add_delivered(pid, delivery);
            }
            note_refusal(not_permitted, *notify, pid, delivery);
        })
    }
}

/// Reports a process that this one may not signal, once.
pub(crate) fn note_refusal(known: &mut ProcessList, notify: Notify, pid: Pid, delivery: Delivery) {
    if let Delivery::NotPermitted(comm) = delivery
        && known.add(pid, comm)
    {
        notify(&Notice::NotPermitted { pid, comm });
    }
}

fn times(each: Duration, count: usize) -> Duration {
    each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}
