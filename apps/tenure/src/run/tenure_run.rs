//! One tenure with its command: from the grant to the moment at which nothing of the command is left.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::Result;
use futures_util::FutureExt;
use rustix::process::{Pid, Signal};
use tenure::{Leadership, LossReason, Time};
use tenure_supervise::{ExitWatch, Expired, GuardedTree, JobControl, WatchdogTimeouts, service_environment};

use super::args::Sdnotify;
use super::context::RunContext;
use super::events::RunEvent;
use super::forwarded_signals::ForwardedSignals;
use super::notifier::Notifier;
use super::protocol::{FromWatchdog, StartCommand, ToWatchdog};
use super::watchdog_process::{Cleared, WatchdogProcess};

/// How a tenure's work ended. Nothing of it is left.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How the command exited, where that is known.
    pub(super) status: Option<ExitStatus>,
    /// What began the end.
    pub(super) cause: Cause,
    /// The signals that were passed on to the command, each once.
    pub(super) passed: Vec<Signal>,
    /// Whether a signal asked for the end, first or later: then nothing begins again.
    pub(super) asked: bool,
    /// The watchdog, where it is still there.
    pub(super) watchdog: Option<WatchdogProcess>,
}

/// What began the end of a tenure's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The command exited by itself.
    Exited,
    /// A signal asked for it.
    Asked,
    /// Leadership was lost, or about to be.
    Lost(LossReason),
    /// The watchdog died or hung.
    WatchdogFailed,
    /// The command could not be started.
    NotStarted,
}

/// One tenure with its command.
pub(super) struct TenureRun<'a> {
    pub(super) context: &'a RunContext,
    pub(super) leadership: &'a Leadership,
    pub(super) keep_until: Time,
    pub(super) holder: String,
    pub(super) signals: &'a mut ForwardedSignals,
    pub(super) notifier: &'a mut Notifier,
}

/// What has happened in it so far.
#[derive(Debug)]
struct RunState<'a> {
    /// The command's process, whose number its process group has too.
    command: Option<Pid>,
    job: JobControl<'a>,
    timeouts: WatchdogTimeouts,
    cause: Option<Cause>,
    /// The command exited by itself, as far as this process saw it.
    exited: bool,
    passed: Vec<Signal>,
    lost: bool,
    asked: bool,
    killed: bool,
}

impl<'a> TenureRun<'a> {
    /// Runs the command; returns when nothing of it is left.
    pub(super) async fn run(mut self, mut watchdog: WatchdogProcess) -> Result<Outcome> {
        let mut state = RunState {
            command: None,
            job: JobControl::new(self.context.terminal.as_ref()),
            timeouts: WatchdogTimeouts::starting(tenure::now()),
            cause: None,
            exited: false,
            passed: Vec::new(),
            lost: false,
            asked: false,
            killed: false,
        };
        let mandate = self.leadership.mandate();
        let guarded = self.context.guard.watch(async move { mandate.killed().await }, watchdog.pid());
        watchdog.start(self.start_command(&state));
        let mut exit = ExitWatch::none();
        let status = loop {
            let timeout = state.timeouts.next().map(|at| at.since(tenure::now()));
            tokio::select! {
                biased;
                message = watchdog.next() => match message {
                    Some(FromWatchdog::Started { pid, .. }) => {
                        state.timeouts.started();
                        watchdog.kill_switch().into_iter().for_each(|file| guarded.set_kill_switch(file));
                        state.command = Pid::from_raw(pid);
                        state.job.started(state.command);
                        exit = state.command.map_or_else(ExitWatch::none, ExitWatch::new);
                        self.close_streams();
                        self.notifier.report(&RunEvent::Started);
                    }
                    Some(FromWatchdog::Pong) => state.timeouts.ponged(tenure::now()),
                    Some(FromWatchdog::NotStarted { error }) => {
                        say!("tenure: {error}");
                        state.cause.get_or_insert(Cause::NotStarted);
                        break None;
                    }
                    Some(FromWatchdog::Suspended { signal }) => {
                        if state.job.suspended(signal) {
                            self.resume(&mut watchdog, &mut state);
                        }
                    }
                    Some(FromWatchdog::Stopping) => self.lose(&mut state, LossReason::RenewalFailed),
                    Some(FromWatchdog::Ended { status }) => {
                        watchdog.send(&ToWatchdog::EndReceived);
                        break Some(ExitStatus::from_raw(status));
                    }
                    None => {
                        // The command dies with its watchdog, so its exit was not its own doing.
                        state.exited = false;
                        return self.clear(watchdog, guarded, state).await;
                    }
                },
                () = exit.exited() => {
                    // The watchdog ends what the command left, and reports that; a watchdog that is stopped does neither.
                    state.exited = state.cause.is_none();
                    watchdog.send(&ToWatchdog::Ping);
                    state.timeouts.command_exited(tenure::now(), self.context.config.timing.stop_timeout());
                }
                () = self.leadership.killed(), if !state.killed => {
                    state.killed = true;
                    watchdog.send(&ToWatchdog::Kill);
                    state.timeouts.killed(tenure::now(), self.context.config.kill_lead());
                    if !state.lost {
                        let reason = self.leadership.lost().await;
                        self.lose(&mut state, reason);
                    }
                }
                reason = self.leadership.lost(), if !state.lost => {
                    self.lose(&mut state, reason);
                    if !state.timeouts.is_ending() {
                        self.stop(&mut watchdog, &mut state, self.context.config.stop_signal);
                    }
                }
                signal = self.signals.next() => self.handle_signal(&mut watchdog, &mut state, signal),
                Some(deadline) = self.leadership.deadline_changed() => {
                    watchdog.send(&ToWatchdog::Extend { deadline });
                    watchdog.send(&ToWatchdog::Ping);
                    state.timeouts.pinged(tenure::now(), self.context.config.timing.ttl());
                }
                () = tokio::time::sleep(timeout.unwrap_or_default()), if timeout.is_some() => {
                    match state.timeouts.expired(tenure::now()) {
                        Expired::Ping => watchdog.send(&ToWatchdog::Ping),
                        Expired::Failed => return self.clear(watchdog, guarded, state).await,
                    }
                }
            }
        };
        drop(guarded);
        // The guard does not wait for this loop to hear of the loss: its kill is no exit of the command's own.
        if state.cause.is_none() && is_by_the_guard(status, self.leadership.killed().now_or_never().is_some()) {
            let reason = self.leadership.lost().await;
            self.lose(&mut state, reason);
        }
        Ok(self.conclude(state, status, Cause::Exited, Some(watchdog)))
    }

    fn start_command(&self, state: &RunState<'_>) -> StartCommand {
        let config = &self.context.config;
        StartCommand {
            key: self.leadership.key().as_str().to_owned(),
            nonce: self.leadership.nonce().to_string(),
            term: self.leadership.term().get(),
            holder: self.holder.clone(),
            note: config.note.as_str().to_owned(),
            deadline: self.leadership.deadline(),
            plan: config.stop_plan(),
            keep_until: self.keep_until,
            command: config.command.clone(),
            on_elected: config.on_elected.clone(),
            foreground: state.job.is_foreground(),
            notifies: config.sdnotify == Sdnotify::Command,
            close: if config.restart.is_none() { config.descriptors.clone() } else { 0..0 },
        }
    }

    /// Standard input and output, and sockets that a service manager handed on, are the command's from now on: a pipe should end
    /// when the command closes it. They are kept where the command may be started again.
    fn close_streams(&self) {
        if self.context.config.restart.is_some() {
            return;
        }
        if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(&null);
            let _ = rustix::stdio::dup2_stdout(&null);
        }
        service_environment::close(self.context.config.descriptors.clone());
    }

    fn lose(&mut self, state: &mut RunState<'_>, reason: LossReason) {
        if !state.lost && state.cause.is_none() {
            let key = self.leadership.key().clone();
            self.notifier.report(&RunEvent::Lost { key, reason: reason.clone() });
        }
        state.lost = true;
        state.cause.get_or_insert(Cause::Lost(reason));
    }

    fn stop(&self, watchdog: &mut WatchdogProcess, state: &mut RunState<'_>, signal: Signal) {
        state.add_passed(signal);
        watchdog.send(&ToWatchdog::Stop { signal: signal.as_raw() });
        state.timeouts.ends_within(tenure::now(), self.context.config.timing.stop_timeout());
    }

    /// Handles a signal that this process received in place of the command.
    fn handle_signal(&mut self, watchdog: &mut WatchdogProcess, state: &mut RunState<'_>, signal: Signal) {
        match signal {
            // A key at the terminal that the command shares with others: what it means is for the command to say.
            Signal::INT | Signal::QUIT if state.job.has_terminal() => {
                state.add_passed(signal);
                watchdog.send(&ToWatchdog::Signal { signal: signal.as_raw() });
            }
            Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT => {
                state.asked = true;
                state.cause.get_or_insert(Cause::Asked);
                self.notifier.report(&RunEvent::Ending);
                let signal = if signal == Signal::TERM { self.context.config.stop_signal } else { signal };
                self.stop(watchdog, state, signal);
            }
            Signal::TSTP => {
                state.job.request_suspend();
                watchdog.send(&ToWatchdog::Suspend);
            }
            Signal::CONT => self.resume(watchdog, state),
            _ => watchdog.send(&ToWatchdog::Signal { signal: signal.as_raw() }),
        }
    }

    /// Continues the command, unless its time is over: nothing may run past that.
    fn resume(&self, watchdog: &mut WatchdogProcess, state: &mut RunState<'_>) {
        if tenure::now() >= self.leadership.deadline() - self.context.config.kill_lead() {
            watchdog.send(&ToWatchdog::Kill);
            return;
        }
        state.job.resume();
        watchdog.send(&ToWatchdog::Resume);
    }

    /// The watchdog has failed: what is left is adopted by this process, killed here and waited for.
    async fn clear(mut self, watchdog: WatchdogProcess, guarded: GuardedTree, state: RunState<'_>) -> Result<Outcome> {
        if state.cause.is_none() && !state.exited {
            self.notifier.report(&RunEvent::WatchdogFailed);
        }
        // Before the watchdog is reaped, and its number can be given to another process.
        drop(guarded);
        let Cleared { status, summary } = watchdog.clear(state.command, &self.context.standby).await?;
        if let Some(summary) = summary {
            say!("tenure: {summary}");
        }
        // The status of a command that was killed here says nothing.
        let status = status.filter(|_| state.exited);
        let cause = if state.exited { Cause::Exited } else { Cause::WatchdogFailed };
        Ok(self.conclude(state, status, cause, None))
    }

    fn conclude(
        &mut self,
        state: RunState<'_>,
        status: Option<ExitStatus>,
        otherwise: Cause,
        watchdog: Option<WatchdogProcess>,
    ) -> Outcome {
        state.job.take_terminal();
        self.notifier.report(&RunEvent::Ended);
        let cause = state.cause.unwrap_or(otherwise);
        Outcome { status, cause, passed: state.passed, asked: state.asked, watchdog }
    }
}

impl RunState<'_> {
    /// A signal is passed on to the command.
    fn add_passed(&mut self, signal: Signal) {
        if !self.passed.contains(&signal) {
            self.passed.push(signal);
        }
    }
}

/// Whether an exit that nobody here began was the guard's doing, once the right to act had ended.
fn is_by_the_guard(status: Option<ExitStatus>, right_has_ended: bool) -> bool {
    right_has_ended && status.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()))
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
