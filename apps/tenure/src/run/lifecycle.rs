//! The life of a run: campaign, run the command, settle the lease, and again where that was asked for.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rustix::process::Signal;
use tenure::{Leadership, LeaseStore, LossReason, Status, Time};
use tenure_base_net::durations;
use tenure_core::Held;
use tenure_supervise::{OwedLease, RespawnBackoff, own_group};
use tokio::sync::watch;

use super::args::Restart;
use super::campaign::{Campaign, Candidate};
use super::config::Wait;
use super::context::RunContext;
use super::endpoints::Endpoints;
use super::events::RunEvent;
use super::forwarded_signals::ForwardedSignals;
use super::health_check::Health;
use super::lease_handover::LeaseHandover;
use super::notifier::Notifier;
use super::protocol::{RunInfo, ToWatchdog};
use super::store_open::{self, Opening};
use super::tenure_run::{Cause, Outcome, TenureRun};
use super::watchdog_process::WatchdogProcess;
use crate::exit::{End, Exit, LOST, UNREACHABLE, after};
use crate::{identity, signals};

/// How long an end may wait for a store that does not answer.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// How long where there was a time to wait, or none, and it is over.
const LAST_MOMENT: Duration = Duration::from_millis(500);
/// How long a claim is looked for that may have been granted to a run which has given up, once the store is back.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The pause before a restart, so that a command that exits at once does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// The pause before a watchdog that died during a campaign is respawned grows from the first to the second.
const RESPAWN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A watchdog that has lived for so long died of something else than the one before.
const STEADY: Duration = Duration::from_secs(10);

/// How a run ends.
pub(super) enum Finish {
    /// Nothing is held any more.
    Done(End),
    /// The lease is to last on its own. Leadership and candidate, which would release it when dropped, are kept until the runtime is
    /// gone.
    KeepLease { end: End, handover: Box<LeaseHandover>, _leadership: Leadership, _candidate: Box<Candidate> },
}

/// What came of waiting for leadership.
enum Acquired {
    Leadership(Leadership),
    /// The run ends without it.
    Nothing(Result<End>),
}

/// A run from its first campaign to its end.
pub(super) struct Lifecycle<'a> {
    context: &'a RunContext,
    info: RunInfo,
    signals: ForwardedSignals,
    notifier: &'a mut Notifier,
    /// There is one in every tenure. During a campaign it may have died, and is respawned.
    watchdog: Option<WatchdogProcess>,
    /// When the wait for the store and the first tenure is over.
    until: Option<Time>,
}

impl Lifecycle<'_> {
    /// Runs until the end of the last tenure, or until a signal ends the wait for one.
    pub(super) async fn run(context: &RunContext, notifier: &mut Notifier) -> Result<Finish> {
        let config = &context.config;
        notifier.report(&RunEvent::Begun);
        signals::keep_children()?;
        let signals = ForwardedSignals::listen()?;
        // The endpoints are there before the store is open: a start that hangs can be looked at.
        let endpoints = match config.http {
            Some(address) => Some(Endpoints::start(address).await.map_err(Exit::unreachable)?),
            None => None,
        };
        let info = RunInfo {
            store: config.store.clone(),
            lease: config.keys.lease().to_string(),
            slots: config.slots,
            process: identity::random(),
            ttl: config.timing.ttl(),
            json: config.json,
            group: own_group().map_or(0, |group| group.as_raw_nonzero().get()),
        };
        // It starts while the store is opened, and before the campaign: a claim that is granted while this process dies is released.
        let watchdog = Some(WatchdogProcess::spawn(&info).map_err(Exit::unreachable)?);
        let until = match config.wait {
            Wait::AtMost(span) => Some(tenure::now() + span),
            Wait::No | Wait::Forever => None,
        };
        let mut run = Lifecycle { context, info, signals, notifier, watchdog, until };
        let candidate = match run.open_store().await {
            Opening::Open(store) => run.candidate(store),
            Opening::Failed(error) => Err(error),
            Opening::Asked(signal) => {
                run.quit_watchdog().await;
                return Ok(Finish::Done(End::asked(signal)));
            }
        };
        let candidate = match candidate {
            Ok(candidate) => candidate,
            Err(error) => {
                run.quit_watchdog().await;
                return Err(error);
            }
        };
        if let Some(endpoints) = &endpoints {
            endpoints.show(candidate.view(config.address.clone()));
        }
        let health = config.health.clone().map(|check| Health::start(check, Arc::clone(candidate.election())));
        run.repeat(candidate, health).await
    }

    /// Opens the store, and respawns a watchdog that dies meanwhile.
    async fn open_store(&mut self) -> Opening {
        let opening = store_open::open(&self.context.config, self.until, &mut self.signals, self.notifier);
        beside(&mut self.watchdog, &self.info, opening).await
    }

    fn candidate(&self, store: Arc<dyn LeaseStore>) -> Result<Candidate> {
        let config = &self.context.config;
        let most = store.info().max_ttl;
        if config.hold_for > most {
            let (asked, most) = (durations::show(config.hold_for), durations::show(most));
            return Err(Exit::usage(anyhow!("--hold-for {asked}: this store keeps a lease for at most {most}")));
        }
        Candidate::new(config, self.info.process, store)
    }

    /// Campaigns and runs the command, again and again.
    async fn repeat(mut self, candidate: Candidate, mut health: Option<Health>) -> Result<Finish> {
        let config = &self.context.config;
        loop {
            self.notifier.report(&RunEvent::Campaigning { key: config.keys.lease().clone() });
            let leadership = match self.acquire(&candidate, &mut health).await {
                Acquired::Leadership(leadership) => leadership,
                Acquired::Nothing(end) => {
                    self.give_up(candidate).await;
                    return end.map(Finish::Done);
                }
            };
            let watchdog = match self.take_watchdog() {
                Ok(watchdog) => watchdog,
                Err(error) => {
                    // Nothing is led without one.
                    let _ = tokio::time::timeout(LAST_ANSWER, leadership.resign()).await;
                    self.give_up(candidate).await;
                    return Err(Exit::unreachable(error));
                }
            };
            let began = tenure::now();
            let keep_until = if config.hold_for.is_zero() { Time::ZERO } else { began + config.hold_for };
            let (key, term, holder) = (leadership.key().clone(), leadership.term(), candidate.holder());
            self.notifier.report(&RunEvent::Elected { key, term, holder: holder.clone() });
            let tenure = TenureRun {
                context: self.context,
                leadership: &leadership,
                keep_until,
                holder,
                signals: &mut self.signals,
                notifier: &mut *self.notifier,
            };
            let mut outcome = tenure.run(watchdog).await?;
            self.watchdog = outcome.watchdog.take();
            let end = end(&outcome);
            let mut again = is_repeated(&outcome, config.restart);
            if is_kept(&outcome.cause) && tenure::now() < keep_until {
                self.notifier.report(&RunEvent::Kept { key: leadership.key().clone(), until: keep_until });
                if again {
                    // A process that goes on campaigning is there anyway, and renews meanwhile.
                    let status = candidate.observe();
                    again = tokio::select! {
                        biased;
                        again = sleep_until(keep_until, &mut self.signals) => again,
                        () = given_up(&leadership, status) => true,
                    };
                }
                if !again {
                    let owed = owed_lease(self.context, &leadership, keep_until);
                    let handover = Box::new(LeaseHandover::new(self.watchdog, self.info, owed)?);
                    let (_leadership, _candidate) = (leadership, Box::new(candidate));
                    return Ok(Finish::KeepLease { end, handover, _leadership, _candidate });
                }
            }
            let released = tokio::time::timeout(LAST_ANSWER, leadership.resign()).await.is_ok();
            match &mut self.watchdog {
                Some(watchdog) if released => watchdog.send(&ToWatchdog::Settled),
                // It goes on trying to release the lease once this process has exited, and exits then.
                Some(_) if !again => return Ok(Finish::Done(end)),
                _ => {}
            }
            if !again || !sleep_until(began + RESTART_PAUSE, &mut self.signals).await {
                self.quit_watchdog().await;
                return Ok(Finish::Done(end));
            }
        }
    }

    /// Waits for leadership.
    async fn acquire(&mut self, candidate: &Candidate, health: &mut Option<Health>) -> Acquired {
        let config = &self.context.config;
        if let (Wait::No, Some(health)) = (config.wait, health) {
            // One claim is all there will be, and none is made while unhealthy.
            tokio::select! {
                healthy = health.first() => if !healthy {
                    return Acquired::Nothing(Ok(End::Code(config.conflict_exit_code)));
                },
                signal = self.signals.next_end() => return Acquired::Nothing(Ok(End::asked(signal))),
            }
        }
        // Of the first wait some may have been spent on the store.
        let rest = self.until.take().map(|until| until.since(tenure::now()));
        let campaign = candidate.campaign(config.wait, rest, &mut self.signals, self.notifier);
        match beside(&mut self.watchdog, &self.info, campaign).await {
            Campaign::Won(leadership) => Acquired::Leadership(leadership),
            Campaign::Asked(signal) => Acquired::Nothing(Ok(End::asked(signal))),
            Campaign::NotInTime(why) => {
                self.notifier.report(&RunEvent::NotAcquired(why.nested(config.is_nested)));
                Acquired::Nothing(Ok(End::Code(config.conflict_exit_code)))
            }
            Campaign::NoAnswer(message) => Acquired::Nothing(Err(Exit::unreachable(anyhow!("the store: {message}")))),
        }
    }

    /// The watchdog for a tenure that begins: the one that is there, or another where it has died.
    fn take_watchdog(&mut self) -> Result<WatchdogProcess> {
        if let Some(mut watchdog) = self.watchdog.take() {
            if watchdog.is_there() {
                return Ok(watchdog);
            }
            watchdog.reap();
        }
        WatchdogProcess::spawn(&self.info)
    }

    /// Ends without leadership. Where the store does not say in time whether a claim was granted, the watchdog looks for it when the store
    /// is back, so that nobody has to wait for the ttl of a lease that nobody holds.
    async fn give_up(mut self, candidate: Candidate) {
        let config = &self.context.config;
        let answer = if config.wait == Wait::Forever { LAST_ANSWER } else { LAST_MOMENT };
        if candidate.stop(answer).await {
            self.quit_watchdog().await;
            return;
        }
        let (lease, ttl) = (config.keys.lease(), durations::show(config.timing.ttl()));
        match self.take_watchdog() {
            Ok(mut watchdog) => {
                let patience = CLAIM_PATIENCE.max(config.timing.ttl());
                watchdog.send(&ToWatchdog::FindClaims { patience });
                let (pid, patience) = (watchdog.pid().as_raw_nonzero(), durations::show(patience));
                say!(
                    "tenure: the store has not said whether it granted {lease}: process {pid} stays for up to {patience}, to release it as \
                     soon as the store answers; should it be ended too, {lease} may be held for {ttl} from when the store is back"
                );
            }
            Err(error) => say!(
                "tenure: the store has not said whether it granted {lease}, which may be held for {ttl} from when the store is back: \
                 {}",
                crate::exit::told(&error)
            ),
        }
    }

    /// Ends the watchdog, where there is one.
    async fn quit_watchdog(self) {
        if let Some(watchdog) = self.watchdog {
            watchdog.quit().await;
        }
    }
}

/// Waits for this beside the watchdog, which is respawned where it dies meanwhile.
async fn beside<T>(watchdog: &mut Option<WatchdogProcess>, info: &RunInfo, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut backoff = RespawnBackoff::new(RESPAWN.0, RESPAWN.1, STEADY, tenure::now());
    let mut respawn_at = tenure::now();
    loop {
        let change = async {
            match watchdog {
                Some(watchdog) => watchdog.died().await,
                None => tokio::time::sleep(respawn_at.since(tenure::now())).await,
            }
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = change => {}
        }
        if let Some(dead) = watchdog.take() {
            dead.reap();
            respawn_at = tenure::now() + backoff.failed(tenure::now());
            continue;
        }
        match WatchdogProcess::spawn(info) {
            Ok(spawned) => {
                backoff.spawned(tenure::now());
                *watchdog = Some(spawned);
            }
            Err(error) => {
                if backoff.is_first_report() {
                    say!("tenure: {}; trying on", crate::exit::told(&error));
                }
                respawn_at = tenure::now() + backoff.failed(tenure::now());
            }
        }
    }
}

/// The lease of a tenure whose work has ended, for whoever settles it.
fn owed_lease(context: &RunContext, leadership: &Leadership, keep_until: Time) -> OwedLease {
    let ttl = context.config.timing.ttl();
    let (key, nonce, term) = (leadership.key().clone(), leadership.nonce(), leadership.term());
    let held = Held { key, nonce, term, ttl, note: context.config.note.clone() };
    OwedLease::Tenure { held, keep_until, expired_by: leadership.deadline() + ttl }
}

/// Waits; returns false where a signal asks for an end before.
async fn sleep_until(until: Time, signals: &mut ForwardedSignals) -> bool {
    tokio::select! {
        biased;
        _ = signals.next_end() => false,
        () = tokio::time::sleep(until.since(tenure::now())) => true,
    }
}

/// Whether another campaign follows.
fn is_repeated(outcome: &Outcome, restart: Option<Restart>) -> bool {
    !outcome.asked
        && match outcome.cause {
            Cause::Lost(_) | Cause::WatchdogFailed => restart.is_some(),
            Cause::Exited => restart == Some(Restart::Always),
            Cause::Asked | Cause::NotStarted => false,
        }
}

/// Whether `--hold-for` applies after this end. Where nothing was run here, another host may do it.
fn is_kept(cause: &Cause) -> bool {
    match cause {
        Cause::NotStarted => false,
        Cause::Lost(reason) => !is_given_up(reason),
        Cause::Exited | Cause::Asked | Cause::WatchdogFailed => true,
    }
}

/// Whether after this loss the lease is somebody else's or to become so: then it is not kept, whatever `--hold-for` says.
fn is_given_up(reason: &LossReason) -> bool {
    // The last two ask that somebody else leads.
    use LossReason::{Fenced, Lost, ResignRequested, Unhealthy};
    matches!(reason, Lost { .. } | Fenced { .. } | ResignRequested | Unhealthy)
}

/// Waits until the lease is given up, while its work has ended and it is only kept.
async fn given_up(leadership: &Leadership, mut status: watch::Receiver<Status>) {
    let asked = async {
        if !is_given_up(&leadership.lost().await) {
            std::future::pending::<()>().await;
        }
    };
    let term = Some(leadership.term());
    tokio::select! {
        () = asked => {}
        // The candidate has the sender, so this is no error.
        _ = status.wait_for(|status| status.term != term) => {}
    }
}

/// How this process ends after that outcome.
fn end(outcome: &Outcome) -> End {
    match (&outcome.cause, outcome.status) {
        (Cause::Lost(_) | Cause::WatchdogFailed, _) => End::Code(LOST),
        (Cause::NotStarted, _) => End::Code(UNREACHABLE),
        (_, Some(status)) => match (status.code(), status.signal().and_then(Signal::from_named_raw)) {
            (Some(code), _) => End::Code(u8::try_from(code).unwrap_or(1)),
            (None, Some(signal)) if outcome.passed.contains(&signal) => End::asked(signal),
            (None, _) => End::Code(after(status.signal().unwrap_or(0))),
        },
        // The watchdog failed while the command was to end: it was killed then.
        (_, None) => End::Code(after(Signal::KILL.as_raw())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    /// The command's own code, 128 and the signal that ended it, or 75 where leadership ended first. A command that died of a
    /// signal that was passed on ends this process by the same one.
    #[test]
    fn the_end_says_how_it_came() {
        let passed = |cause, status: Option<i32>, passed: &[Signal]| {
            let status = status.map(ExitStatus::from_raw);
            end(&Outcome { status, cause, passed: Vec::from(passed), asked: false, watchdog: None })
        };
        let code = |cause, status| passed(cause, status, &[]);
        assert_eq!(code(Cause::Exited, Some(3 << 8)), End::Code(3));
        assert_eq!(code(Cause::Exited, Some(9)), End::Code(137));
        assert_eq!(code(Cause::Exited, Some(15)), End::Code(143));
        assert_eq!(passed(Cause::Asked, Some(15), &[Signal::TERM]), End::Signal(Signal::TERM));
        assert_eq!(passed(Cause::Asked, Some(2), &[Signal::INT]), End::Signal(Signal::INT));
        // Asked twice, in two ways: it died of the first.
        assert_eq!(passed(Cause::Asked, Some(15), &[Signal::TERM, Signal::HUP]), End::Signal(Signal::TERM));
        assert_eq!(passed(Cause::Asked, Some(9), &[Signal::TERM]), End::Code(137));
        assert_eq!(passed(Cause::Asked, Some(10), &[Signal::USR1]), End::Code(138));
        assert_eq!(passed(Cause::Asked, Some(0), &[Signal::TERM]), End::Code(0));
        assert_eq!(passed(Cause::Lost(LossReason::Expired), Some(15), &[Signal::TERM]), End::Code(75));
        assert_eq!(code(Cause::WatchdogFailed, None), End::Code(75));
        assert_eq!(code(Cause::Asked, None), End::Code(137));
        assert_eq!(code(Cause::NotStarted, None), End::Code(69));
    }
}
