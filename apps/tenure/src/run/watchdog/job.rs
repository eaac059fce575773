//! One command under the watchdog's eye: its deadline, its end, and the end of everything that it started.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tenure_core::{Held, LeaseKey, Nonce, Note, Term, Time};

use super::killer::Killer;
use super::settlement::Estate;
use crate::handed;
use crate::process::own_program;
use crate::run::hooks;
use crate::run::link::{STREAMS, Start};
use crate::run::part::{self, Part};
use crate::run::shell;

/// How long after CMD's end whatever it left is looked for. Mostly there is nothing, and the reaper says so before.
const LOOK_AFTER: Duration = Duration::from_millis(1);
/// The pauses between two kills grow from the first to the second.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// When it is first looked how much there would be to kill.
const FIRST_COUNT: Duration = Duration::from_millis(500);
/// For so long CMD runs outside of its control group: moving it takes the kernel some milliseconds, which short commands are
/// not to wait for.
const GATHER_AFTER: Duration = Duration::from_millis(50);

/// How much later than `tenure run` the watchdog decides by itself.
const HANDICAP: Duration = Duration::from_millis(20);

/// A command that was started.
#[derive(Debug)]
pub(super) struct Job {
    pid: Pid,
    start: Start,
    nonce: Nonce,
    term: Term,
    key: LeaseKey,
    deadline: Time,
    /// How much earlier killing begins for all that there is to kill.
    extra: Duration,
    /// When to look again how much that is.
    count_at: Time,
    /// When CMD is moved to its control group.
    gather_at: Option<Time>,
    /// It was told that there is more than there is time for.
    is_too_much: bool,
    stage: Stage,
    is_stopped: bool,
    /// How long the last search for what was to be killed took.
    searched_for: Duration,
    /// CMD's own end; what it started may still be there.
    status: Option<ExitStatus>,
    /// When to ask what CMD left behind to end too.
    rest_at: Option<Time>,
    /// The end was this watchdog's own decision.
    unasked: bool,
    /// CMD ended before anybody had asked it to.
    ended_by_itself: bool,
    /// What runs beside CMD, while it does.
    hook: Option<Hook>,
}

/// The hook that runs beside CMD at the beginning of a tenure. It is of the tenure's work: it ends with CMD, and is dead by
/// the deadline as everything here.
#[derive(Debug)]
struct Hook {
    pid: Pid,
    /// Killed by then.
    until: Time,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Working,
    /// Told to end; killed at the latest then.
    Ending {
        kill_at: Time,
    },
    /// Killed, and again, until nothing is left.
    Killing {
        again_at: Time,
        pause: Duration,
    },
}

impl Job {
    /// Starts the command with these streams in a process group of its own, and in the killer's control group.
    pub(super) fn start(
        start: Start,
        [stdin, stdout, stderr]: [OwnedFd; STREAMS],
        environment: &[(&str, OsString)],
        killer: &mut Killer,
    ) -> Result<Job> {
        let key = LeaseKey::new(&start.key).context("the key")?;
        let nonce: Nonce = start.nonce.parse().context("the nonce")?;
        let term = Term::new(start.term).context("the term")?;
        let errors = stderr.try_clone().context("the hook's stderr")?;
        let part = if start.foreground { Part::Foreground } else { Part::Background };
        killer.begin();
        let child = Command::new(own_program().context("cannot find this program's own file")?)
            .arg0("tenure")
            .args(part::arguments(part, &start.command))
            .env_remove(handed::SECRET_FILE)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .process_group(0)
            .spawn()
            .context("cannot start a process")?;
        let pid = Pid::from_child(&child);
        let hook = start.on_elected.as_deref().and_then(|script| {
            let started = Hook::start(script, errors, environment);
            // CMD runs: a hook is no reason to end it.
            started.inspect_err(|error| say!("tenure: --on-elected cannot be run: {error}")).ok()
        });
        let deadline = start.deadline.into();
        Ok(Job {
            pid,
            nonce,
            term,
            key,
            deadline,
            extra: Duration::ZERO,
            count_at: tenure::now() + FIRST_COUNT.min(start.renew / 4),
            gather_at: Some(tenure::now() + GATHER_AFTER),
            is_too_much: false,
            start,
            stage: Stage::Working,
            is_stopped: false,
            searched_for: Duration::ZERO,
            status: None,
            rest_at: None,
            unasked: false,
            ended_by_itself: false,
            hook,
        })
    }

    /// CMD's process, which is its group's number too.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// The tenure's term.
    pub(super) fn term(&self) -> u64 {
        self.start.term
    }

    /// Until when the tenure lasts.
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// How CMD ended, as the kernel puts it. One whose end nobody saw counts as not found.
    pub(super) fn status(&self) -> i32 {
        self.status.map_or(0x7f00, ExitStatus::into_raw)
    }

    /// Whether the end was the watchdog's own decision, as `tenure run` had not moved the deadline.
    pub(super) fn ended_unasked(&self) -> bool {
        self.unasked
    }

    /// What is left of the tenure: its lease.
    pub(super) fn estate(&self, ttl: Duration) -> Estate {
        let note = Note::new(&self.start.note).unwrap_or_default();
        let held = Held { key: self.key.clone(), nonce: self.nonce, term: self.term, ttl, note };
        // A lease lasts for its ttl from the last renewal, and the deadline came after that.
        Estate::Tenure { held, keep_until: self.start.keep_until.into(), ended_by: self.deadline + ttl }
    }

    /// When to call [`Job::enforce`] at the latest.
    pub(super) fn due(&self) -> Time {
        let next = match self.stage {
            Stage::Working => self.stop_at().min(self.kill_at()),
            Stage::Ending { kill_at } => kill_at.min(self.kill_at()),
            Stage::Killing { again_at, .. } => again_at,
        };
        let next = self.rest_at.map_or(next, |at| at.min(next));
        let next = match self.stage {
            Stage::Working => self.gather_at.map_or(next, |at| at.min(next)).min(self.count_at),
            _ => next,
        };
        self.hook.as_ref().map_or(next, |hook| hook.until.min(next))
    }

    /// Does what is due; answers whether that was to end the work unasked.
    pub(super) fn enforce(&mut self, now: Time, killer: &mut Killer) -> bool {
        if self.rest_at.is_some_and(|at| at <= now) {
            self.rest_at = None;
            self.end_rest(now, killer);
        }
        if let Some(hook) = self.hook.take_if(|hook| hook.until <= now) {
            say!("tenure: --on-elected took longer than {:?} and was killed", hooks::MOST);
            killer.kill_child(hook.pid);
        }
        if self.stage == Stage::Working && self.gather_at.take_if(|at| *at <= now).is_some() {
            killer.gather();
        }
        if self.stage == Stage::Working && now >= self.count_at {
            self.count(now, killer);
        }
        match self.stage {
            Stage::Working if now >= self.kill_at() => {
                self.unasked = true;
                self.kill(now, killer);
                return true;
            }
            Stage::Working if now >= self.stop_at() => {
                self.unasked = true;
                self.end(now, killer);
                return true;
            }
            Stage::Ending { kill_at } if now >= kill_at.min(self.kill_at()) => self.kill(now, killer),
            Stage::Killing { again_at, pause } if now >= again_at => self.kill_once(now, pause * 2, killer),
            _ => {}
        }
        false
    }

    /// A renewal was answered.
    pub(super) fn extend(&mut self, now: Time, deadline: Time, killer: &mut Killer) {
        self.deadline = self.deadline.max(deadline);
        self.count(now, killer);
    }

    /// Looks how much there is to kill, so that it is dead by the deadline however much it is. Looked at again with the next
    /// renewal, and sooner where that is late: what is forked in between is what the bound does not know.
    fn count(&mut self, now: Time, killer: &mut Killer) {
        let needed = killer.time_for(self.pid);
        let most = self.start.spare + self.start.stop_timeout * 3 / 4;
        self.extra = needed.min(most);
        self.count_at = now + self.start.renew + self.start.renew / 4;
        if needed > most && !std::mem::replace(&mut self.is_too_much, true) {
            say!(
                "tenure: the command has started more processes than can be killed within its ttl: where leadership is lost some \
                 may outlive it by up to {:?}; raise --ttl, or run it where a control group can be made (see tenure doctor)",
                needed - most
            );
        }
    }

    /// Passes a signal on to CMD itself, as if it had been sent there.
    pub(super) fn pass(&self, number: i32, killer: &mut Killer) {
        if let (None, Some(signal)) = (self.status, Signal::from_named_raw(number)) {
            killer.signal_child(self.pid, signal);
        }
    }

    /// Stops CMD's group as the terminal would.
    pub(super) fn suspend(&self) {
        self.signal_group(Signal::TSTP);
    }

    /// Lets CMD's group go on, unless its time is over.
    pub(super) fn resume(&self, now: Time) {
        if now < self.kill_at() && !matches!(self.stage, Stage::Killing { .. }) {
            self.signal_group(Signal::CONT);
        }
    }

    /// Tells CMD to end with its stop signal.
    pub(super) fn end(&mut self, now: Time, killer: &mut Killer) {
        self.end_with(now, self.start.stop_signal, killer);
    }

    /// Tells CMD to end with this signal, and sets the moment at which everything is killed. Told again, the signal is
    /// passed on again, and the moment stays.
    pub(super) fn end_with(&mut self, now: Time, number: i32, killer: &mut Killer) {
        if matches!(self.stage, Stage::Killing { .. }) {
            return;
        }
        self.pass(number, killer);
        if self.is_stopped {
            // Who is stopped cannot end by itself.
            self.resume(now);
        }
        if self.stage == Stage::Working {
            self.stage = Stage::Ending { kill_at: now + self.start.stop_timeout };
        }
    }

    /// Kills everything, and goes on killing until nothing is left.
    pub(super) fn kill(&mut self, now: Time, killer: &mut Killer) {
        self.kill_once(now, KILL_AGAIN.0, killer);
    }

    /// CMD was stopped.
    pub(super) fn stopped(&mut self) {
        self.is_stopped = true;
    }

    /// CMD goes on.
    pub(super) fn continued(&mut self) {
        self.is_stopped = false;
    }

    /// A child ended.
    pub(super) fn ended(&mut self, now: Time, pid: Pid, status: ExitStatus) {
        if pid == self.pid {
            self.status = Some(status);
            self.rest_at = Some(now + LOOK_AFTER);
            self.ended_by_itself = self.stage == Stage::Working;
        }
        if self.hook.take_if(|hook| hook.pid == pid).is_some()
            && !status.success()
            && self.stage == Stage::Working
            && self.rest_at.is_none()
        {
            say!("tenure: --on-elected ended with {status}");
        }
        if let Stage::Killing { again_at, .. } = &mut self.stage {
            // Its end may have brought orphans. Of many ends that come together one search is made.
            *again_at = (*again_at).min(now + KILL_AGAIN.0.max(self.searched_for * 2));
        }
    }

    /// What had to be ended, in a line for whoever reads it; `None` where nothing had to.
    pub(super) fn account(&self, killer: &Killer) -> Option<String> {
        let Killer { asked, killed, .. } = killer;
        if !asked.is_empty() && self.ended_by_itself {
            let hard = if killed.is_empty() { String::new() } else { format!("; killed: {killed}") };
            return Some(format!(
                "the command has ended and left {} running, which had to end with it: {asked}{hard}; what is to go on must stay \
                 in the foreground",
                asked.count()
            ));
        }
        (!killed.is_empty()).then(|| format!("killed what had not ended in time: {killed}"))
    }

    fn stop_at(&self) -> Time {
        stop_at(self.deadline - self.extra.min(self.start.spare), self.start.stop_timeout)
    }

    fn kill_at(&self) -> Time {
        self.deadline - self.start.kill_lead - self.extra
    }

    /// CMD has ended: whatever it left is to end too.
    fn end_rest(&mut self, now: Time, killer: &mut Killer) {
        if matches!(self.stage, Stage::Killing { .. }) {
            return;
        }
        if let Some(signal) = Signal::from_named_raw(self.start.stop_signal) {
            killer.ask(signal, self.hook.as_ref().map(|hook| hook.pid));
        }
        if self.stage == Stage::Working {
            self.stage = Stage::Ending { kill_at: now + self.start.stop_timeout };
        }
    }

    fn kill_once(&mut self, now: Time, pause: Duration, killer: &mut Killer) {
        killer.kill();
        // Where processes could not be searched for, what has stayed in the command's own group ends all the same.
        self.signal_group(Signal::KILL);
        // Of many the search takes a while, in which they should rather die.
        let after = tenure::now();
        self.searched_for = after.since(now);
        let now = after;
        let pause = pause.min(KILL_AGAIN.1);
        self.stage = Stage::Killing { again_at: now + pause, pause };
    }

    fn signal_group(&self, signal: Signal) {
        // The group's number belongs to it for as long as its first process was not reaped.
        if self.status.is_none() {
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

/// When the watchdog tells CMD to end, unless somebody else has: a little after `tenure run` would, which knows whether a
/// renewal has failed.
fn stop_at(deadline: Time, stop_timeout: Duration) -> Time {
    deadline - stop_timeout + HANDICAP.min(stop_timeout / 8)
}

impl Hook {
    fn start(script: &str, errors: OwnedFd, environment: &[(&str, OsString)]) -> io::Result<Hook> {
        let child = Command::new(own_program()?)
            .arg0("tenure")
            .args(part::arguments(Part::Background, &shell::words(script)))
            .env("TENURE_EVENT", "elected")
            .env_remove(handed::SECRET_FILE)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(errors))
            .process_group(0)
            .spawn()?;
        Ok(Hook { pid: Pid::from_child(&child), until: tenure::now() + hooks::MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tenure run` gives a renewal all the time until work must be told to end. The watchdog decides after that, by less
    /// than what the work has left then.
    #[test]
    fn the_watchdog_decides_after_tenure_run() {
        let deadline = Time::from_nanos(100_000_000_000);
        for stop_timeout in [5_000, 330, 40].map(Duration::from_millis) {
            let own = stop_at(deadline, stop_timeout);
            assert!(own > deadline - stop_timeout && own < deadline - stop_timeout / 2, "{stop_timeout:?}");
        }
        assert_eq!(stop_at(deadline, Duration::ZERO), deadline);
    }
}
