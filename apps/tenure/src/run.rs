//! `tenure run`: waits for a lease, then runs a command for as long as it holds it.
//!
//! Three processes: this one campaigns and renews; the watchdog below it enforces the deadline; the command is the
//! watchdog's child. Each of the first two stands in for the other: whichever of them is killed or stopped, the command
//! and everything that it started is dead before anybody else can hold the lease, and the lease is free again within
//! milliseconds of that death.

mod args;
mod campaign;
mod config;
mod death;
mod guard;
mod health;
mod heir;
mod hooks;
mod http;
mod keeper;
mod keys;
mod link;
mod mask;
mod moments;
mod part;
mod program;
mod refusal;
mod reign;
mod requests;
mod shell;
mod spare;
mod stage;
pub(crate) mod status_file;
mod teller;
mod terminal;
mod toll;
mod unreached;
mod values;
mod watchdog;

use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use rustix::process::Signal;
use tenure::{Leadership, LossReason, Status, Time};
use tenure_base_net::durations;
use tenure_core::Held;
use tokio::sync::watch;

use crate::exit::{End, Exit, LOST, NOT_ACQUIRED, UNREACHABLE, after};
use crate::store;
use crate::{identity, process, signals};
pub(crate) use args::Args;
use args::Restart;
use campaign::{Campaign, Candidate};
use config::Config;
use guard::Guard;
use health::Health;
use heir::Heir;
use hooks::Hooks;
use http::Board;
use keeper::{Keeper, News, Vacancies};
use link::{Charge, Order};
use moments::Moment;
use reign::{Outcome, Reign, Why};
use requests::Requests;
use spare::Spare;
use teller::Teller;
use terminal::Terminal;
use watchdog::settlement::Estate;

/// How many files `tenure run` may have open at a time, with some to spare.
const DESCRIPTORS: usize = 32;
/// As long as this process lives.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);
/// How long an end may wait for a store that does not answer.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// The pause before a restart, so that a command that ends at once does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Runs the part of `tenure run` that this process is, where it is one of its inner ones. Asked before the command line is
/// read: they start often, and their arguments are no command's.
pub(crate) fn inner() -> Option<Result<ExitCode>> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next()?;
    if name == watchdog::NAME {
        Some(watchdog::run(arguments))
    } else if name == part::NAME {
        Some(stage::run(arguments))
    } else {
        None
    }
}

/// Runs `tenure run`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    mask::hear().context("cannot unblock signals")?;
    let filter = args.log.clone().or_else(|| args.verbose.then(|| "info".to_owned()));
    if let Some(filter) = filter.or_else(|| std::env::var("TENURE_LOG").ok().filter(|filter| !filter.is_empty())) {
        crate::logs::start(&filter, crate::logs::Format::Auto, "tenure-run");
    }
    let config = Config::new(args)?;
    if let Some(said) = said_in_an_argument(&config.store) {
        say!("tenure: everybody on this machine can read the password in --store {said}; use TENURE_STORE instead");
    }
    if let Err(error) = program::check(&config.command[0]) {
        return Ok(ExitCode::from(program::failed(&config.command[0], &error)));
    }
    status_file::check().map_err(Exit::usage)?;
    #[cfg(not(target_os = "linux"))]
    say!(
        "tenure: this system cannot adopt orphans and its clock may stand still in sleep: what leaves the command's process \
         group outlives it, and a machine that sleeps past a deadline acts late; only the term protects then"
    );
    process::adopt_orphans().context("cannot become a sub-reaper").map_err(Exit::unreachable)?;
    process::room::for_descriptors(DESCRIPTORS).map_err(Exit::unreachable)?;
    // Opened before there are other threads, so that none of them can be stopped for using it.
    let terminal = Terminal::open();
    let no_thread = "cannot start a thread: there are as many processes as this user or this container may have";
    // A thread for blocking calls that stays: where none can be made any more what they are asked for waits for this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(FOR_EVER).build()?;
    let spare = Spare::start().context(no_thread).map_err(Exit::unreachable)?;
    let finish = runtime.block_on(async {
        let guard = Guard::start().context(no_thread).map_err(Exit::unreachable)?;
        process::room::for_a_thread().map_err(Exit::unreachable)?;
        tokio::task::spawn_blocking(|| ()).await.context(no_thread).map_err(Exit::unreachable)?;
        let mut teller = Teller::new(Hooks::new(config.on_lost.clone(), crate::handed::without_login(&config.store)));
        let finish = serve(&config, terminal.as_ref(), &guard, &spare, &mut teller).await;
        teller.finish().await;
        finish
    });
    // What still blocks a thread (a stuck store) must not keep this process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    let end = match finish? {
        Finish::Done(end) => end,
        Finish::Left { end, heir, .. } => {
            // Nobody renews any more, and the leadership was not given back: the watchdog does with the lease what it would
            // do had this process died. It has it last.
            heir.inherit(&spare);
            end
        }
    };
    Ok(end.take())
}

/// The store's URL as it may be shown, where it holds a secret and was given as an argument.
fn said_in_an_argument(url: &str) -> Option<String> {
    let shown = tenure_open::shown(url);
    let given = || std::env::args_os().any(|argument| argument.to_string_lossy().ends_with(url));
    (shown != url && given()).then_some(shown)
}

/// How a run ends.
enum Finish {
    /// Nothing is held any more.
    Done(End),
    /// The lease is to last on its own. What would release it is kept from doing so until the runtime is gone.
    Left { end: End, heir: Box<Heir>, _leadership: Leadership, _candidate: Box<Candidate> },
}

async fn serve(
    config: &Config,
    terminal: Option<&Terminal>,
    guard: &Guard,
    spare: &Spare,
    teller: &mut Teller,
) -> Result<Finish> {
    signals::keep_children()?;
    let mut requests = Requests::listen()?;
    // Endpoints come first: a start that hangs can be looked at.
    let board = match config.http {
        Some(address) => Some(Board::start(address).await.map_err(Exit::unreachable)?),
        None => None,
    };
    let charge = Charge {
        store: config.store.clone(),
        lease: config.keys.lease().to_string(),
        slots: config.keys.slots().and_then(|slots| u32::try_from(slots).ok()),
        process: identity::random(),
        ttl: config.timing.ttl(),
        group: crate::process::own_group().map_or(0, |group| group.as_raw_nonzero().get()),
    };
    // It starts while the store is opened.
    let mut keeper = Some(Keeper::hire(&charge).map_err(Exit::unreachable)?);
    let mut candidate = match candidate(config, &charge).await {
        Ok(candidate) => candidate,
        Err(error) => {
            dismiss(keeper).await;
            return Err(error);
        }
    };
    if let Some(board) = &board {
        board.show(candidate.view(config.address.clone()));
    }
    let mut health = config.health.clone().map(|check| Health::start(check, candidate.gates()));
    loop {
        if config.patience == config::Patience::None
            && let Some(health) = &mut health
        {
            // One claim is all there will be, and none is made while unfit.
            let end = tokio::select! {
                healthy = health.first() => (!healthy).then_some(End::Code(NOT_ACQUIRED)),
                signal = requests.next_end() => Some(End::asked(signal)),
            };
            if let Some(end) = end {
                give_up(candidate, keeper).await;
                return Ok(Finish::Done(end));
            }
        }
        let campaign = campaign(config, &mut candidate, &mut keeper, &charge, &mut requests, teller).await;
        let (leadership, events) = match campaign {
            Campaign::Won(leadership, events) => (leadership, events),
            Campaign::Asked(signal) => {
                give_up(candidate, keeper).await;
                return Ok(Finish::Done(End::asked(signal)));
            }
            Campaign::NotInTime => {
                teller.tell(&Moment::Refused(candidate.refusal(config.patience).await));
                give_up(candidate, keeper).await;
                return Ok(Finish::Done(End::Code(NOT_ACQUIRED)));
            }
            Campaign::NoAnswer(message) => {
                give_up(candidate, keeper).await;
                return Err(Exit::unreachable(anyhow::anyhow!("the store: {message}")));
            }
        };
        // Nothing is led without one.
        let present = match at_hand(keeper, &charge) {
            Ok(keeper) => keeper,
            Err(error) => {
                let _ = tokio::time::timeout(LAST_ANSWER, leadership.resign()).await;
                give_up(candidate, None).await;
                return Err(Exit::unreachable(error));
            }
        };
        let began = tenure::now();
        teller.tell(&Moment::Elected { key: leadership.key().clone(), term: leadership.term() });
        let reign = Reign {
            config,
            leadership: &leadership,
            events,
            keep_until: if config.hold_for.is_zero() { Time::ZERO } else { began + config.hold_for },
            holder: candidate.holder(),
            terminal,
            guard,
            spare,
            requests: &mut requests,
            teller: &mut *teller,
        };
        let keep_until = reign.keep_until;
        let outcome = reign.run(present).await?;
        let end = end(&outcome);
        let again = !outcome.asked
            && match outcome.why {
                Why::Lost(_) | Why::WatchdogFailed => config.restart.is_some(),
                Why::Itself => config.restart == Some(Restart::Always),
                Why::Asked | Why::NotStarted => false,
            };
        if outcome.why == Why::Lost(LossReason::ResignRequested) {
            candidate.stand_back(leadership.key());
        }
        let mut stay = again;
        // Where nothing was run here, another host may do it.
        let gone = outcome.why == Why::NotStarted || matches!(&outcome.why, Why::Lost(reason) if is_given_up(reason));
        if !gone && tenure::now() < keep_until {
            teller.tell(&Moment::Kept { key: leadership.key().clone(), until: keep_until });
            if again {
                // Who goes on campaigning is there anyway, and renews meanwhile.
                let status = candidate.observe(leadership.key());
                stay = tokio::select! {
                    biased;
                    stay = rests_until(keep_until, &mut requests) => stay,
                    () = given_up(&leadership, status) => true,
                };
            }
            if !stay {
                let estate = estate(config, &leadership, keep_until);
                let heir = Box::new(Heir::new(outcome.keeper, charge, estate)?);
                return Ok(Finish::Left { end, heir, _leadership: leadership, _candidate: Box::new(candidate) });
            }
        }
        let released = tokio::time::timeout(LAST_ANSWER, leadership.resign()).await.is_ok();
        keeper = match outcome.keeper {
            Some(mut keeper) if released => {
                keeper.tell(&Order::Settled);
                Some(keeper)
            }
            // It goes on trying to release, and ends then.
            Some(keeper) if !stay => {
                drop(keeper);
                return Ok(Finish::Done(end));
            }
            Some(keeper) => Some(keeper),
            // The next campaign begins with hiring one.
            None if stay => None,
            None => return Ok(Finish::Done(end)),
        };
        // What ends at once should not spin.
        if stay {
            stay = rests_until(began + RESTART_PAUSE, &mut requests).await;
        }
        if !stay {
            dismiss(keeper).await;
            return Ok(Finish::Done(end));
        }
    }
}

/// What is left of a tenure whose work has ended: its lease.
fn estate(config: &Config, leadership: &Leadership, keep_until: Time) -> Estate {
    let held = Held {
        key: leadership.key().clone(),
        nonce: leadership.nonce(),
        term: leadership.term(),
        ttl: config.timing.ttl(),
        note: config.note.clone(),
    };
    Estate::Tenure { held, keep_until, ended_by: leadership.deadline() + config.timing.ttl() }
}

async fn candidate(config: &Config, charge: &Charge) -> Result<Candidate> {
    let store = store::open(&config.store).await?;
    let most = store.info().max_ttl;
    if config.hold_for > most {
        return Err(Exit::usage(anyhow::anyhow!(
            "--hold-for {}: this store keeps a lease for at most {}",
            durations::show(config.hold_for),
            durations::show(most)
        )));
    }
    Candidate::new(config, charge.process, store)
}

/// Campaigns, and replaces a watchdog that dies meanwhile.
async fn campaign(
    config: &Config,
    candidate: &mut Candidate,
    keeper: &mut Option<Keeper>,
    charge: &Charge,
    requests: &mut Requests,
    teller: &mut Teller,
) -> Campaign {
    let campaign = candidate.campaign(config.patience, requests, teller);
    tokio::pin!(campaign);
    let mut vacancies = Vacancies::new(tenure::now());
    let mut hire_at = tenure::now();
    loop {
        let change = async {
            match &mut *keeper {
                Some(keeper) => while !matches!(keeper.next().await, News::Gone) {},
                None => tokio::time::sleep(hire_at.since(tenure::now())).await,
            }
        };
        tokio::select! {
            biased;
            campaign = &mut campaign => return campaign,
            () = change => {}
        }
        if let Some(gone) = keeper.take() {
            gone.bury();
            hire_at = vacancies.opened(tenure::now());
            continue;
        }
        match Keeper::hire(charge) {
            Ok(hired) => {
                vacancies.filled(tenure::now());
                *keeper = Some(hired);
            }
            Err(error) => {
                if vacancies.is_news() {
                    say!("tenure: {error:#}; trying on");
                }
                hire_at = vacancies.opened(tenure::now());
            }
        }
    }
}

/// The watchdog for a tenure that begins: the one that is there, or another where it has died.
fn at_hand(keeper: Option<Keeper>, charge: &Charge) -> Result<Keeper> {
    if let Some(mut keeper) = keeper {
        if !matches!(keeper.next().now_or_never(), Some(News::Gone)) {
            return Ok(keeper);
        }
        keeper.bury();
    }
    Keeper::hire(charge)
}

/// Ends the watchdog, where there is one.
async fn dismiss(keeper: Option<Keeper>) {
    if let Some(keeper) = keeper {
        keeper.dismiss().await;
    }
}

/// Ends without leadership. Where the store does not say in time whether a claim was granted, the watchdog looks for it.
async fn give_up(candidate: Candidate, keeper: Option<Keeper>) {
    if tokio::time::timeout(LAST_ANSWER, candidate.stop()).await.is_ok() {
        dismiss(keeper).await;
    }
}

/// Waits; answers false where a signal asks for an end before.
async fn rests_until(until: Time, requests: &mut Requests) -> bool {
    tokio::select! {
        biased;
        _ = requests.next_end() => false,
        () = tokio::time::sleep(until.since(tenure::now())) => true,
    }
}

/// Whether after this loss the lease is somebody else's or to become so: nothing is kept then, whatever `--hold-for` says.
fn is_given_up(reason: &LossReason) -> bool {
    // To have somebody else lead is what the last two ask for.
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
        // Its sender lives as long as the candidate.
        _ = status.wait_for(|status| status.term != term) => {}
    }
}

/// What says how a run ended.
fn end(outcome: &Outcome) -> End {
    match (&outcome.why, outcome.status) {
        (Why::Lost(_) | Why::WatchdogFailed, _) => End::Code(LOST),
        (Why::NotStarted, _) => End::Code(UNREACHABLE),
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

    /// The command's own code, 128 and the signal that ended it, or 75 where leadership ended first. What a signal ended
    /// that was passed on ends this process by the same one.
    #[test]
    fn the_end_says_how_it_came() {
        let passed = |why, status: Option<i32>, passed: &[Signal]| {
            let status = status.map(ExitStatus::from_raw);
            end(&Outcome { status, why, passed: Vec::from(passed), asked: false, keeper: None })
        };
        let code = |why, status| passed(why, status, &[]);
        assert_eq!(code(Why::Itself, Some(3 << 8)), End::Code(3));
        assert_eq!(code(Why::Itself, Some(9)), End::Code(137));
        assert_eq!(code(Why::Itself, Some(15)), End::Code(143));
        assert_eq!(passed(Why::Asked, Some(15), &[Signal::TERM]), End::Signal(Signal::TERM));
        assert_eq!(passed(Why::Asked, Some(2), &[Signal::INT]), End::Signal(Signal::INT));
        // Asked twice, in two ways: it died of the first.
        assert_eq!(passed(Why::Asked, Some(15), &[Signal::TERM, Signal::HUP]), End::Signal(Signal::TERM));
        assert_eq!(passed(Why::Asked, Some(9), &[Signal::TERM]), End::Code(137));
        assert_eq!(passed(Why::Asked, Some(10), &[Signal::USR1]), End::Code(138));
        assert_eq!(passed(Why::Asked, Some(0), &[Signal::TERM]), End::Code(0));
        assert_eq!(passed(Why::Lost(LossReason::Expired), Some(15), &[Signal::TERM]), End::Code(75));
        assert_eq!(code(Why::WatchdogFailed, None), End::Code(75));
        assert_eq!(code(Why::Asked, None), End::Code(137));
        assert_eq!(code(Why::NotStarted, None), End::Code(69));
    }
}
