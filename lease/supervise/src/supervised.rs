//! One command with its deadline: stopped in time, killed in time, with everything that it started.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tenure_core::Time;

use crate::children::{ChildEvent, UNSEEN_STATUS};
use crate::notice::{Notice, Notify};
use crate::process_tree::ProcessTree;
use tenure_base_time::now;

/// How long after the command's exit whatever it left is looked for. Mostly there is nothing, and the reaper says so before.
const LOOK_AFTER: Duration = Duration::from_millis(1);
/// The pauses between two kills grow from the first to the second.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));
/// When processes are counted first, to know how long killing them would take.
const FIRST_COUNT: Duration = Duration::from_millis(500);
/// How long a command runs outside of its control group: moving it takes the kernel some milliseconds, for which short commands
/// are not to wait.
const CONTAIN_AFTER: Duration = Duration::from_millis(50);
/// How much later than the process that renews the lease this one decides by itself to stop the command.
const HANDICAP: Duration = Duration::from_millis(20);

/// How a command is stopped.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub struct StopPlan {
    /// The signal that asks the command to end.
    pub signal: i32,
    /// How long it may take to end before it is killed.
    pub timeout: Duration,
    /// How long before the deadline everything is killed.
    pub kill_lead: Duration,
    /// How much earlier that may begin, where there is much to kill, before a renewal could have failed.
    pub slack: Duration,
    /// How often the deadline is moved while renewals succeed.
    pub renew_interval: Duration,
}

/// A command that was started in a process group of its own, with what has been decided about its end. A state machine: call
/// [`SupervisedCommand::enforce`] when [`SupervisedCommand::due`] has come, and [`SupervisedCommand::observe`] for every event of
/// this process's children.
#[derive(Debug)]
pub struct SupervisedCommand {
    /// The command's process, whose number its process group has too.
    pid: Pid,
    plan: StopPlan,
    deadline: Time,
    notify: Notify,
    /// How much earlier killing begins for all that there is to kill.
    time_to_kill: Duration,
    /// When processes are counted again.
    count_at: Time,
    /// When the command is moved to its control group.
    contain_at: Option<Time>,
    /// [`Notice::TooManyProcesses`] was reported.
    is_too_much: bool,
    phase: Phase,
    /// The command is stopped by a signal (SIGSTOP, SIGTSTP).
    is_suspended: bool,
    /// How long the last walk through the processes to kill took.
    last_walk: Duration,
    /// How the command exited; what it started may still be there.
    status: Option<ExitStatus>,
    /// When what the command left running is asked to end too.
    stop_rest_at: Option<Time>,
    /// The end was decided here, without an order.
    acted_unasked: bool,
    /// The command exited before anybody had asked it to.
    exited_by_itself: bool,
    side: Option<SideProcess>,
}

/// A process beside the command, such as a hook. It is part of the tenure's work: it ends with the command, and is dead by the
/// deadline.
#[derive(Debug)]
struct SideProcess {
    pid: Pid,
    /// Killed by then.
    until: Time,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Asked to end; killed at the latest then.
    Stopping {
        kill_at: Time,
    },
    /// Killed, and again, until nothing is left.
    Killing {
        again_at: Time,
        pause: Duration,
    },
}

impl SupervisedCommand {
    /// Supervises a child that was just started, and leads a process group.
    pub fn new(pid: Pid, plan: StopPlan, deadline: Time, notify: Notify) -> SupervisedCommand {
        let now = now();
        SupervisedCommand {
            pid,
            plan,
            deadline,
            notify,
            time_to_kill: Duration::ZERO,
            count_at: now + FIRST_COUNT.min(plan.renew_interval / 4),
            contain_at: Some(now + CONTAIN_AFTER),
            is_too_much: false,
            phase: Phase::Running,
            is_suspended: false,
            last_walk: Duration::ZERO,
            status: None,
            stop_rest_at: None,
            acted_unasked: false,
            exited_by_itself: false,
            side: None,
        }
    }

    /// Also supervises this child, started together with the command, which is killed if it is still there at `until`.
    pub fn set_side_process(&mut self, pid: Pid, until: Time) {
        self.side = Some(SideProcess { pid, until });
    }

    /// The command's process, whose number its process group has too.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The moment by which everything is dead, unless it is moved.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// How the command exited, as `wait(2)` puts it. A command whose exit this process did not see counts as not found.
    pub fn raw_status(&self) -> i32 {
        self.status.map_or(UNSEEN_STATUS, ExitStatus::into_raw)
    }

    /// Whether the command exited before anybody had asked it to.
    pub fn exited_by_itself(&self) -> bool {
        self.exited_by_itself
    }

    /// Whether the end was decided here, as the deadline had not been moved in time.
    pub fn acted_unasked(&self) -> bool {
        self.acted_unasked
    }

    /// When to call [`SupervisedCommand::enforce`] at the latest.
    pub fn due(&self) -> Time {
        let next = match self.phase {
            Phase::Running => self.stop_at().min(self.kill_at()).min(self.count_at),
            Phase::Stopping { kill_at } => kill_at.min(self.kill_at()),
            Phase::Killing { again_at, .. } => again_at,
        };
        let contain_at = self.contain_at.filter(|_| self.phase == Phase::Running);
        let side = self.side.as_ref().map(|side| side.until);
        [contain_at, side, self.stop_rest_at].into_iter().flatten().fold(next, Time::min)
    }

    /// Does what is due; returns whether that was to begin the end unasked.
    pub fn enforce(&mut self, now: Time, tree: &mut ProcessTree) -> bool {
        if self.stop_rest_at.take_if(|at| *at <= now).is_some() {
            self.stop_rest(now, tree);
        }
        if let Some(side) = self.side.take_if(|side| side.until <= now) {
            (self.notify)(&Notice::SideTimedOut);
            tree.kill_child(side.pid);
        }
        if self.phase == Phase::Running && self.contain_at.take_if(|at| *at <= now).is_some() {
            tree.contain();
        }
        if self.phase == Phase::Running && now >= self.count_at {
            self.count(now, tree);
        }
        match self.phase {
            Phase::Running if now >= self.kill_at() => {
                self.acted_unasked = true;
                self.kill(now, tree);
                return true;
            }
            Phase::Running if now >= self.stop_at() => {
                self.acted_unasked = true;
                self.stop_as_planned(now, tree);
                return true;
            }
            Phase::Stopping { kill_at } if now >= kill_at.min(self.kill_at()) => self.kill(now, tree),
            Phase::Killing { again_at, pause } if now >= again_at => self.kill_once(now, pause * 2, tree),
            _ => {}
        }
        false
    }

    /// Moves the deadline, never to an earlier moment: a renewal was answered.
    pub fn extend(&mut self, now: Time, deadline: Time, tree: &mut ProcessTree) {
        self.deadline = self.deadline.max(deadline);
        self.count(now, tree);
    }

    /// Passes a signal on to the command itself, as if it had been sent there.
    pub fn signal(&self, number: i32, tree: &mut ProcessTree) {
        if let (None, Some(signal)) = (self.status, Signal::from_named_raw(number)) {
            tree.signal_child(self.pid, signal);
        }
    }

    /// Suspends the command's process group as the terminal would (SIGTSTP).
    pub fn suspend(&self) {
        self.signal_group(Signal::TSTP);
    }

    /// Continues the command's process group, unless its time is over.
    pub fn resume(&self, now: Time) {
        if now < self.kill_at() && !matches!(self.phase, Phase::Killing { .. }) {
            self.signal_group(Signal::CONT);
        }
    }

    /// Asks the command to end with this signal; everything is killed once [`StopPlan::timeout`] is over. When called again the
    /// signal is passed on again, and the time does not begin anew.
    pub fn stop(&mut self, now: Time, number: i32, tree: &mut ProcessTree) {
        if matches!(self.phase, Phase::Killing { .. }) {
            return;
        }
        self.signal(number, tree);
        if self.is_suspended {
            // A suspended process cannot end by itself.
            self.resume(now);
        }
        self.begin_stopping(now);
    }

    /// Asks the command to end with [`StopPlan::signal`].
    pub fn stop_as_planned(&mut self, now: Time, tree: &mut ProcessTree) {
        self.stop(now, self.plan.signal, tree);
    }

    /// Kills everything, and goes on killing until nothing is left.
    pub fn kill(&mut self, now: Time, tree: &mut ProcessTree) {
        self.kill_once(now, KILL_AGAIN.0, tree);
    }

    /// Takes note of what became of a child. [`ChildEvent::NoneLeft`] proves that everything is dead.
    pub fn observe(&mut self, now: Time, event: ChildEvent) {
        match event {
            ChildEvent::Stopped(pid, _) if pid == self.pid => self.is_suspended = true,
            ChildEvent::Continued(pid) if pid == self.pid => self.is_suspended = false,
            ChildEvent::Exited(pid, status) => self.child_exited(now, pid, status),
            ChildEvent::Stopped(..) | ChildEvent::Continued(_) | ChildEvent::NoneLeft => {}
        }
    }

    fn child_exited(&mut self, now: Time, pid: Pid, status: ExitStatus) {
        if pid == self.pid {
            self.status = Some(status);
            self.stop_rest_at = Some(now + LOOK_AFTER);
            self.exited_by_itself = self.phase == Phase::Running;
        }
        let is_side = self.side.take_if(|side| side.pid == pid).is_some();
        if is_side && !status.success() && self.phase == Phase::Running && self.stop_rest_at.is_none() {
            (self.notify)(&Notice::SideFailed(status));
        }
        if let Phase::Killing { again_at, .. } = &mut self.phase {
            // The exit may have made orphans, which are found now. Exits that come close together lead to one walk.
            *again_at = (*again_at).min(now + KILL_AGAIN.0.max(self.last_walk * 2));
        }
    }

    /// Counts what there is to kill, so that it is dead by the deadline however much it is. Counted again with the next renewal,
    /// and sooner where that is late; what is forked in between is not accounted for.
    fn count(&mut self, now: Time, tree: &mut ProcessTree) {
        let needed = tree.time_to_kill(self.pid);
        let most = self.plan.slack + self.plan.timeout * 3 / 4;
        self.time_to_kill = needed.min(most);
        self.count_at = now + self.plan.renew_interval + self.plan.renew_interval / 4;
        if needed > most && !std::mem::replace(&mut self.is_too_much, true) {
            (self.notify)(&Notice::TooManyProcesses { overrun: needed - most });
        }
    }

    fn stop_at(&self) -> Time {
        stop_at(self.deadline - self.time_to_kill.min(self.plan.slack), self.plan.timeout)
    }

    fn kill_at(&self) -> Time {
        self.deadline - self.plan.kill_lead - self.time_to_kill
    }

    fn begin_stopping(&mut self, now: Time) {
        if self.phase == Phase::Running {
            self.phase = Phase::Stopping { kill_at: now + self.plan.timeout };
        }
    }

    /// The command has exited: whatever it left running is asked to end too.
    fn stop_rest(&mut self, now: Time, tree: &mut ProcessTree) {
        if matches!(self.phase, Phase::Killing { .. }) {
            return;
        }
        if let Some(signal) = Signal::from_named_raw(self.plan.signal) {
            tree.stop(signal, self.side.as_ref().map(|side| side.pid));
        }
        self.begin_stopping(now);
    }

    fn kill_once(&mut self, began: Time, pause: Duration, tree: &mut ProcessTree) {
        tree.kill();
        // Where /proc cannot be read, what has stayed in the command's own process group is killed all the same.
        self.signal_group(Signal::KILL);
        // The walk through many processes takes a while; they need as much to die.
        let now = now();
        self.last_walk = now.since(began);
        let pause = pause.min(KILL_AGAIN.1);
        self.phase = Phase::Killing { again_at: now + pause, pause };
    }

    fn signal_group(&self, signal: Signal) {
        // The group's number is not given to another one before its first process was reaped.
        if self.status.is_none() {
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

/// When a command is stopped that nobody else has stopped: a little after the process that renews the lease would, which knows
/// whether a renewal has failed.
fn stop_at(deadline: Time, timeout: Duration) -> Time {
    deadline - timeout + HANDICAP.min(timeout / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The process that renews the lease gives a renewal all the time until the command must be stopped. This one decides after
    /// that, by less than what the command has left then.
    #[test]
    fn stopping_unasked_comes_after_the_renewing_process() {
        let deadline = Time::from_nanos(100_000_000_000);
        for timeout in [5_000, 330, 40].map(Duration::from_millis) {
            let own = stop_at(deadline, timeout);
            assert!(own > deadline - timeout && own < deadline - timeout / 2, "{timeout:?}");
        }
        assert_eq!(stop_at(deadline, Duration::ZERO), deadline);
    }
}
