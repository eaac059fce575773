//! One tenure with its command: from the grant to the moment at which nothing of the command is left.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use tenure::{Event, Events, Leadership, LossReason, Time};

use super::config::Config;
use super::death::Death;
use super::guard::{Guard, Guarded};
use super::keeper::{Keeper, News};
use super::link::{Order, Report, Start};
use super::moments::Moment;
use super::requests::Requests;
use super::spare::{Cleared, Spare};
use super::teller::Teller;
use super::terminal::{self, Terminal};
use crate::process::{group_of, is_in_own_session, own_group, parent_of};

/// How much longer than allowed the watchdog may take before it counts as failed.
const OVERTIME: Duration = Duration::from_millis(500);
/// How long the watchdog may take to answer once its command has died.
const ANSWER: Duration = Duration::from_secs(2);
/// How long it may take to answer otherwise, at least; the ttl where that is more. A stopped one ends nothing any more, and
/// then this process alone would.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the watchdog may take to start a command. Renewals go on meanwhile, so that nothing else would ever end a
/// tenure whose watchdog is stopped.
const START: Duration = Duration::from_secs(10);

/// How a tenure's work ended. Nothing of it is left.
#[derive(Debug)]
pub(super) struct Outcome {
    /// CMD's own end, where it is known.
    pub(super) status: Option<ExitStatus>,
    /// What began the end.
    pub(super) why: Why,
    /// The signals that were passed on to CMD, each once.
    pub(super) passed: Vec<Signal>,
    /// Whether a signal asked for the end, first or later: then nothing begins again.
    pub(super) asked: bool,
    /// The watchdog, where it is still there.
    pub(super) keeper: Option<Keeper>,
}

/// What began the end of a tenure's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// CMD ended by itself.
    Itself,
    /// A signal asked for it.
    Asked,
    /// Leadership was lost, or about to be.
    Lost(LossReason),
    /// The watchdog died or did nothing.
    WatchdogFailed,
    /// CMD could not be started.
    NotStarted,
}

/// One tenure with its command.
pub(super) struct Reign<'a> {
    pub(super) config: &'a Config,
    pub(super) leadership: &'a Leadership,
    pub(super) events: Events,
    pub(super) keep_until: Time,
    pub(super) holder: String,
    pub(super) terminal: Option<&'a Terminal>,
    pub(super) guard: &'a Guard,
    pub(super) spare: &'a Spare,
    pub(super) requests: &'a mut Requests,
    pub(super) teller: &'a mut Teller,
}

/// What has come of it so far.
#[derive(Debug)]
struct Course {
    /// CMD's process, which is its group's number too.
    pid: Option<Pid>,
    why: Option<Why>,
    /// The deadline that the watchdog knows.
    told: Time,
    /// By then the watchdog has reported the end, or has failed.
    overdue: Option<Time>,
    /// By then it has reported the start, or has failed.
    start_by: Option<Time>,
    /// By then it has answered a question, or has failed.
    here_by: Option<Time>,
    /// It was overdue, and was asked whether it is there.
    doubted: bool,
    /// CMD has ended by itself, as far as this process saw it.
    died: bool,
    passed: Vec<Signal>,
    lost: bool,
    asked: bool,
    killed: bool,
    /// Whether this process was asked to stop together with its command.
    suspend: bool,
    /// Whether the terminal is the command's while it runs.
    foreground: bool,
}

impl Reign<'_> {
    /// Runs the command; returns when nothing of it is left.
    pub(super) async fn run(mut self, mut keeper: Keeper) -> Result<Outcome> {
        let foreground = self.terminal.is_some_and(terminal::belongs_to_the_command);
        let mut course = Course {
            pid: None,
            why: None,
            told: self.leadership.deadline(),
            overdue: None,
            start_by: Some(tenure::now() + START),
            here_by: None,
            doubted: false,
            died: false,
            passed: Vec::new(),
            lost: false,
            asked: false,
            killed: false,
            suspend: false,
            foreground,
        };
        let guarded = self.guard.watch(self.leadership.mandate(), keeper.pid());
        keeper.start(self.start(course.told, foreground));
        let mut death = Death::of_nobody();
        let status = loop {
            let first = course.overdue.into_iter().chain(course.start_by).chain(course.here_by).min();
            let overdue = first.map(|at| at.since(tenure::now()));
            tokio::select! {
                biased;
                news = keeper.next() => match news {
                    News::Report(Report::Started { pid, .. }) => {
                        course.start_by = None;
                        guarded.holds(keeper.kill_switch());
                        course.pid = Pid::from_raw(pid);
                        death = course.pid.map_or_else(Death::of_nobody, Death::of);
                        self.hand_over_streams();
                        self.teller.tell(&Moment::Started { pid });
                    }
                    News::Report(Report::Here) => course.is_here(),
                    News::Report(Report::NotStarted { error }) => {
                        say!("tenure: {error}");
                        course.why.get_or_insert(Why::NotStarted);
                        break None;
                    }
                    News::Report(Report::Stopped { signal }) => self.stopped(&mut keeper, &mut course, signal),
                    News::Report(Report::Ending) => self.lose(&mut course, LossReason::RenewalFailed),
                    News::Report(Report::Ended { status }) => {
                        keeper.tell(&Order::Heard);
                        break Some(ExitStatus::from_raw(status));
                    }
                    News::Gone => {
                        // The command dies with its watchdog: that is no end of its own.
                        course.died = false;
                        return self.clear_away(keeper, guarded, course).await;
                    }
                },
                () = death.comes() => {
                    // The watchdog ends what it has left, and reports that; a stopped one does neither.
                    course.died = course.why.is_none();
                    course.expect_by(tenure::now() + self.config.timing.stop_timeout() + OVERTIME);
                    keeper.tell(&Order::Ask);
                    course.here_by = Some(tenure::now() + ANSWER);
                }
                () = self.leadership.killed(), if !course.killed => {
                    course.killed = true;
                    let reason = if course.lost { None } else { Some(self.leadership.lost().await) };
                    keeper.tell(&Order::Kill);
                    course.expect_by(tenure::now() + self.config.kill_lead().max(OVERTIME));
                    if let Some(reason) = reason {
                        self.lose(&mut course, reason);
                    }
                }
                reason = self.leadership.lost(), if !course.lost => {
                    self.lose(&mut course, reason);
                    if course.overdue.is_none() {
                        self.end(&mut keeper, &mut course, self.config.stop_signal);
                    }
                }
                signal = self.requests.next() => self.asked(&mut keeper, &mut course, signal),
                // The election outlives its tenure, so there always is a next one.
                Some(event) = self.events.next() => {
                    // Also after events that were missed: what counts is the deadline.
                    let deadline = self.leadership.deadline();
                    if deadline > course.told {
                        course.told = deadline;
                        keeper.tell(&Order::Extend { deadline: deadline.into() });
                        keeper.tell(&Order::Ask);
                        course.here_by.get_or_insert(tenure::now() + SILENCE.max(self.config.timing.ttl()));
                    }
                    if let Event::StoreFailed { message, .. } = event {
                        tracing::warn!(component = "run", message, "the store does not do what it is asked");
                    }
                }
                () = tokio::time::sleep(overdue.unwrap_or_default()), if overdue.is_some() => {
                    if !course.gives_a_last_moment() {
                        return self.clear_away(keeper, guarded, course).await;
                    }
                    // Many processes take their time, and some cannot be killed: who answers is at it.
                    keeper.tell(&Order::Ask);
                }
            }
        };
        drop(guarded);
        // The guard does not wait for this loop to hear of the loss: its kill is no end of the command's own.
        if course.why.is_none() && is_by_the_guard(status, self.leadership.killed().now_or_never().is_some()) {
            let reason = self.leadership.lost().await;
            self.lose(&mut course, reason);
        }
        self.take_terminal(&course);
        self.teller.tell(&Moment::Ended { status });
        let why = course.why.unwrap_or(Why::Itself);
        Ok(Outcome { status, why, passed: course.passed, asked: course.asked, keeper: Some(keeper) })
    }

    fn start(&self, deadline: Time, foreground: bool) -> Start {
        Start {
            key: self.leadership.key().as_str().to_owned(),
            nonce: self.leadership.nonce().to_string(),
            term: self.leadership.term().get(),
            holder: self.holder.clone(),
            note: self.config.note.as_str().to_owned(),
            deadline: deadline.into(),
            renew: self.config.timing.renew_interval(),
            stop_timeout: self.config.timing.stop_timeout(),
            kill_lead: self.config.kill_lead(),
            spare: self.config.spare(),
            stop_signal: self.config.stop_signal.as_raw(),
            keep_until: self.keep_until.into(),
            command: self.config.command.clone(),
            on_elected: self.config.on_elected.clone(),
            foreground,
        }
    }

    /// Standard input and output are CMD's from now on: a pipe should end when CMD closes it. Who starts CMD again has to
    /// keep them.
    fn hand_over_streams(&self) {
        if self.config.restart.is_some() {
            return;
        }
        if let Ok(nothing) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(&nothing);
            let _ = rustix::stdio::dup2_stdout(&nothing);
        }
    }

    fn lose(&mut self, course: &mut Course, reason: LossReason) {
        if !course.lost && course.why.is_none() {
            self.teller.tell(&Moment::Lost { key: self.leadership.key().clone(), reason: reason.clone() });
        }
        course.lost = true;
        course.why.get_or_insert(Why::Lost(reason));
    }

    fn end(&mut self, keeper: &mut Keeper, course: &mut Course, signal: Signal) {
        course.has_passed(signal);
        keeper.tell(&Order::End { signal: signal.as_raw() });
        course.expect_by(tenure::now() + self.config.timing.stop_timeout() + OVERTIME);
    }

    /// A signal came to this process instead of CMD.
    fn asked(&mut self, keeper: &mut Keeper, course: &mut Course, signal: Signal) {
        let at_terminal = self.terminal.is_some_and(Terminal::is_ours);
        match signal {
            // A key at the terminal, while CMD shares it with others: what it means is CMD's to say.
            Signal::INT | Signal::QUIT if at_terminal => {
                course.has_passed(signal);
                keeper.tell(&Order::Pass { signal: signal.as_raw() });
            }
            Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT => {
                course.asked = true;
                course.why.get_or_insert(Why::Asked);
                let signal = if signal == Signal::TERM { self.config.stop_signal } else { signal };
                self.end(keeper, course, signal);
            }
            Signal::TSTP => {
                course.suspend = true;
                keeper.tell(&Order::Suspend);
            }
            Signal::CONT => self.resume(keeper, course),
            _ => keeper.tell(&Order::Pass { signal: signal.as_raw() }),
        }
    }

    /// CMD was stopped: this process stops too, so that the shell sees a job that stopped.
    fn stopped(&mut self, keeper: &mut Keeper, course: &mut Course, signal: i32) {
        let Some(command) = course.pid else { return };
        let asked = std::mem::take(&mut course.suspend);
        match self.terminal {
            Some(terminal) => {
                let wants_terminal = signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw();
                if wants_terminal && terminal.is_ours() {
                    // Only now CMD turns out to need it.
                    course.foreground = true;
                    return self.resume(keeper, course);
                }
                if !asked && !can_be_continued() {
                    // As the kernel does where no shell could ever continue a job.
                    return self.resume(keeper, course);
                }
                if terminal.is_of(command) {
                    terminal.take();
                    if let Some(group) = own_group().filter(|group| *group != getpid()) {
                        // The key would have stopped the whole group.
                        let _ = kill_process_group(group, Signal::TSTP);
                    }
                }
            }
            // Somebody stopped CMD alone, and knows why.
            None if !asked => return,
            None => {}
        }
        // What follows happens after SIGCONT, whose own turn comes with the requests.
        let _ = kill_process(getpid(), Signal::STOP);
    }

    /// CMD goes on: unless its time is over, which nothing may run past.
    fn resume(&mut self, keeper: &mut Keeper, course: &mut Course) {
        course.suspend = false;
        if tenure::now() >= self.leadership.deadline() - self.config.kill_lead() {
            keeper.tell(&Order::Kill);
            return;
        }
        if let (Some(terminal), Some(command)) = (self.terminal, course.pid)
            && course.foreground
            && terminal.is_ours()
        {
            terminal.give_to(command);
        }
        keeper.tell(&Order::Resume);
    }

    fn take_terminal(&self, course: &Course) {
        if let (Some(terminal), Some(command)) = (self.terminal, course.pid)
            && terminal.is_of(command)
        {
            terminal.take();
        }
    }

    /// The watchdog has failed: whatever is left comes to this process, is killed here and waited for.
    async fn clear_away(&mut self, keeper: Keeper, guarded: Guarded, mut course: Course) -> Result<Outcome> {
        if course.why.is_none() && !course.died {
            self.teller.tell(&Moment::WatchdogFailed);
        }
        // Before the watchdog is reaped, and its number can be another's.
        drop(guarded);
        let Cleared { status, killed } = keeper.clear_away(course.pid, self.spare).await?;
        if !killed.is_empty() {
            say!("tenure: killed what had not ended in time: {killed}");
        }
        self.take_terminal(&course);
        // Of a command that was killed here the end says nothing.
        let status = status.filter(|_| course.died);
        self.teller.tell(&Moment::Ended { status });
        let why = course.why.take().unwrap_or(if course.died { Why::Itself } else { Why::WatchdogFailed });
        Ok(Outcome { status, why, passed: course.passed, asked: course.asked, keeper: None })
    }
}

impl Course {
    /// The end is to be reported by then; earlier promises stand.
    fn expect_by(&mut self, at: Time) {
        self.overdue = Some(self.overdue.map_or(at, |overdue| overdue.min(at)));
    }

    /// A signal is passed on to CMD.
    fn has_passed(&mut self, signal: Signal) {
        if !self.passed.contains(&signal) {
            self.passed.push(signal);
        }
    }

    /// The watchdog answers, so it does what it is there for.
    fn is_here(&mut self) {
        self.here_by = None;
        if std::mem::take(&mut self.doubted) {
            self.overdue = Some(tenure::now() + OVERTIME);
        }
    }

    /// Something is overdue. Where that is the report of the end alone, the watchdog is to be asked, and has a last moment to
    /// answer; answers whether that is so.
    fn gives_a_last_moment(&mut self) -> bool {
        let now = tenure::now();
        let late = self.overdue.is_some_and(|at| at <= now);
        let others = self.start_by.into_iter().chain(self.here_by).any(|at| at <= now);
        if !late || others || self.doubted {
            return false;
        }
        self.doubted = true;
        self.overdue = Some(now + OVERTIME);
        true
    }
}

/// Whether an end that nobody here began was the guard's doing, once the right to act had ended.
fn is_by_the_guard(status: Option<ExitStatus>, right_has_ended: bool) -> bool {
    right_has_ended && status.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()))
}

/// Whether somebody in this session could continue this process's group: a shell. Where there is none, stopping would be
/// for ever.
fn can_be_continued() -> bool {
    let Some(leader) = own_group() else { return false };
    let parent = parent_of(leader);
    parent.is_some_and(|parent| is_in_own_session(parent) && group_of(parent) != Some(leader))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kill is the guard's only where the right to act has ended; what ended otherwise did so by itself.
    #[test]
    fn the_guards_kill_is_told_from_other_ends() {
        let (killed, ended) = (Some(ExitStatus::from_raw(9)), Some(ExitStatus::from_raw(0)));
        assert!(is_by_the_guard(killed, true));
        assert!(!is_by_the_guard(killed, false) && !is_by_the_guard(ended, true) && !is_by_the_guard(None, true));
    }
}
