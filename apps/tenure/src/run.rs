//! `tenure run`: waits for a lease, then runs a command for as long as it holds it.
//!
//! Three processes: this one campaigns and renews; the watchdog below it enforces the deadline; the command is the
//! watchdog's child. Each of the first two stands in for the other: whichever of them is killed or stopped, the command
//! and everything that it started is dead before anybody else can hold the lease, and the lease is free again within
//! milliseconds of that death.

mod campaign;
mod config;
mod guard;
mod health;
mod heir;
mod hooks;
mod http;
mod keeper;
mod link;
mod mask;
mod moments;
mod part;
mod reign;
mod requests;
mod shell;
mod stage;
pub(crate) mod status_file;
mod teller;
mod terminal;
mod watchdog;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tenure::{HolderId, Leadership, LeaseKey, LossReason, Note, Status, Time};
use tenure_core::Held;
use tokio::sync::watch;

use crate::exit::{Exit, LOST, NOT_ACQUIRED};
use crate::store::{self, StoreArgs};
use crate::{durations, identity, process, signals};
use campaign::{Campaign, Candidate};
use config::Config;
use health::Health;
use heir::Heir;
use hooks::Hooks;
use http::Board;
use keeper::{Keeper, News};
use link::{Charge, Order};
use moments::Moment;
use reign::{Outcome, Reign, Why};
use requests::Requests;
use teller::Teller;
use terminal::Terminal;
use watchdog::settlement::Estate;

/// How long an end may wait for a store that does not answer.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// The pause before a restart, so that a command that ends at once does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Flags of `tenure run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command gets TENURE_KEY, TENURE_TERM (the fencing token), TENURE_HOLDER and TENURE_STATUS_FILE (see `tenure check`),
and standard streams and terminal as if it ran alone. When it ends, whatever it left running is ended too.

The hooks get the same, and TENURE_EVENT (elected or lost); --on-lost also TENURE_REASON. One that fails is told of on
standard error, and nothing waits for it. `/leader` answers {key, leader, term, is_self, remaining_ms, advertise}, 200 where
this instance leads, else 503.

SIGTERM, SIGINT and SIGHUP end the command: it gets the signal, and SIGKILL after the stop timeout. SIGUSR1, SIGUSR2 and
SIGWINCH are passed on, SIGTSTP stops it and SIGCONT continues it, unless the lease has run out meanwhile.

Exit codes: the command's own, or 128 and the number of the signal that ended it; 64 called wrongly; 69 the store cannot be
reached; 75 leadership was lost and the command was ended; 76 the lease was not to be had in time; 126 and 127 the command
cannot be run or is not there.

Examples:
  tenure run --lease reports/nightly -- ./make-reports
  tenure run --lease cron/backup --no-wait --hold-for 5m -- ./backup      on every host, at the same minute
  tenure run --lease bot --restart --store redis://host -- ./bot          one bot, hot standbys elsewhere
  tenure run --lease transcode --slots 4 -- ./transcode FILE              four at a time
  tenure run --lease api --http :9000 --advertise 10.0.0.5:8080 --health-cmd 'curl -fs localhost:8080/up' -- ./api")]
pub(crate) struct Args {
    /// Key of the lease to hold
    #[arg(long, value_name = "KEY", value_parser = store::parse_key)]
    lease: LeaseKey,
    #[command(flatten)]
    store: StoreArgs,
    /// How long the lease lasts without renewal [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    ttl: Option<Duration>,
    /// How often it is renewed [default: a third of the ttl]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    renew: Option<Duration>,
    /// How much earlier than the store the command's time is over [default: 2/15 of the ttl, from 200ms to 2s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    margin: Option<Duration>,
    /// Wait so long for the lease, then exit 76 [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse, conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Try once; exit 76 where somebody else holds the lease
    #[arg(long)]
    no_wait: bool,
    /// Keep the lease at least so long after it was acquired, even if the command ends sooner, or is ended because renewals
    /// fail; it then lasts on its own. `tenure resign` and --health-cmd hand it over all the same
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    hold_for: Option<Duration>,
    /// Let N run at a time: the leases are KEY/0 to KEY/N-1, and one is enough
    #[arg(long, value_name = "N", value_parser = config::parse_slots)]
    slots: Option<u32>,
    /// Campaign again after leadership was lost; with =always also after the command has ended
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "on-loss")]
    restart: Option<Restart>,
    /// Signal that asks the command to end
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = config::parse_signal)]
    stop_signal: Signal,
    /// How long the command may take to end before it is killed [default: a third of the ttl, at most 10s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    stop_timeout: Option<Duration>,
    /// Name to hold the lease under [default: host, process and a random suffix]
    #[arg(long, value_name = "NAME", value_parser = config::parse_holder)]
    holder: Option<HolderId>,
    /// Text to keep with the lease, as `tenure leases` shows it
    #[arg(long, value_name = "TEXT", value_parser = config::parse_note)]
    note: Option<Note>,
    /// Serve /leader, /readyz, /healthz, /livez and /metrics: HOST:PORT, or :PORT on loopback
    #[arg(long, value_name = "ADDR", value_parser = crate::http::parse_address)]
    http: Option<SocketAddr>,
    /// Address of this instance, kept with the lease while it leads: `/leader` and `tenure leases` tell it to whoever routes
    #[arg(long, value_name = "ADDR", value_parser = crate::advertise::parse)]
    advertise: Option<String>,
    /// Shell command to run beside CMD when leadership begins; it ends with CMD, and after 30s at the latest
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    on_elected: Option<String>,
    /// Shell command to run after each tenure, when nothing of CMD is left; it may take 30s
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    on_lost: Option<String>,
    /// Shell command that says with 0 that this instance is fit to lead: while it does not, the lease is not campaigned for,
    /// and handed over where it is held
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    health_cmd: Option<String>,
    /// Pause between two of them [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "health_cmd", value_parser = durations::parse)]
    health_interval: Option<Duration>,
    /// How long one may take; longer means no [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "health_cmd", value_parser = durations::parse)]
    health_timeout: Option<Duration>,
    /// Log to standard error: a level or a filter [env: TENURE_LOG] [default: only what a user must know]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Log what happens, as --log info
    #[arg(long, short)]
    verbose: bool,
    /// Command to run, and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// When to campaign again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Restart {
    /// After leadership was lost
    OnLoss,
    /// Also after the command has ended
    Always,
}

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
    if let Err(error) = stage::find(&config.command[0]) {
        return Ok(ExitCode::from(stage::failed(&config.command[0], &error)));
    }
    #[cfg(not(target_os = "linux"))]
    say!(
        "tenure: this system cannot adopt orphans and its clock may stand still in sleep: what leaves the command's process \
         group outlives it, and a machine that sleeps past a deadline acts late; only the term protects then"
    );
    process::adopt_orphans().context("cannot become a sub-reaper")?;
    // Opened before there are other threads, so that none of them can be stopped for using it.
    let terminal = Terminal::open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finish = runtime.block_on(async {
        let mut teller = Teller::new(Hooks::new(config.on_lost.clone()));
        let finish = serve(&config, terminal.as_ref(), &mut teller).await;
        teller.finish().await;
        finish
    });
    // What still blocks a thread (a stuck store) must not keep this process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match finish? {
        Finish::Done(code) => Ok(ExitCode::from(code)),
        Finish::Left { code, heir, .. } => {
            // Nobody renews any more, and the leadership was not given back: the watchdog does with the lease what it would
            // do had this process died. It has it last.
            heir.inherit();
            Ok(ExitCode::from(code))
        }
    }
}

/// The store's URL as it may be shown, where it holds a secret and was given as an argument.
fn said_in_an_argument(url: &str) -> Option<String> {
    let shown = crate::secrets::without_secrets(url);
    let given = || std::env::args_os().any(|argument| argument.to_string_lossy().ends_with(url));
    (shown != url && given()).then_some(shown)
}

/// How a run ends.
enum Finish {
    /// Nothing is held any more.
    Done(u8),
    /// The lease is to last on its own. What would release it is kept from doing so until the runtime is gone.
    Left { code: u8, heir: Box<Heir>, _leadership: Leadership, _candidate: Candidate },
}

async fn serve(config: &Config, terminal: Option<&Terminal>, teller: &mut Teller) -> Result<Finish> {
    signals::keep_children()?;
    let mut requests = Requests::listen()?;
    // Endpoints come first: a start that hangs can be looked at.
    let board = match config.http {
        Some(address) => Some(Board::start(address).await.map_err(Exit::unreachable)?),
        None => None,
    };
    let charge = Charge {
        store: config.store.clone(),
        prefix: config.prefix.clone(),
        process: identity::random(),
        ttl: config.timing.ttl(),
        group: rustix::process::getpgrp().as_raw_nonzero().get(),
    };
    // It starts while the store is opened.
    let mut keeper = Keeper::hire(&charge)?;
    let mut candidate = match candidate(config, &charge).await {
        Ok(candidate) => candidate,
        Err(error) => {
            keeper.dismiss().await;
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
            let code = tokio::select! {
                healthy = health.first() => (!healthy).then_some(NOT_ACQUIRED),
                signal = requests.next_end() => Some(after(signal.as_raw())),
            };
            if let Some(code) = code {
                give_up(candidate, keeper).await;
                return Ok(Finish::Done(code));
            }
        }
        let campaign = campaign(config, &mut candidate, &mut keeper, &charge, &mut requests, teller).await?;
        let (leadership, events) = match campaign {
            Campaign::Won(leadership, events) => (leadership, events),
            Campaign::Asked(signal) => {
                give_up(candidate, keeper).await;
                return Ok(Finish::Done(after(signal.as_raw())));
            }
            Campaign::NotInTime => {
                give_up(candidate, keeper).await;
                return Ok(Finish::Done(NOT_ACQUIRED));
            }
            Campaign::NoAnswer(message) => {
                give_up(candidate, keeper).await;
                return Err(Exit::unreachable(anyhow::anyhow!("the store: {message}")));
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
            requests: &mut requests,
            teller: &mut *teller,
        };
        let keep_until = reign.keep_until;
        let outcome = reign.run(keeper).await?;
        let code = code(&outcome);
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
        let gone = matches!(&outcome.why, Why::Lost(reason) if is_given_up(reason));
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
                return Ok(Finish::Left { code, heir, _leadership: leadership, _candidate: candidate });
            }
        }
        let released = tokio::time::timeout(LAST_ANSWER, leadership.resign()).await.is_ok();
        keeper = match outcome.keeper {
            Some(mut keeper) if released => {
                keeper.tell(&Order::Settled);
                keeper
            }
            // It goes on trying to release, and ends then.
            Some(keeper) if !stay => {
                drop(keeper);
                return Ok(Finish::Done(code));
            }
            Some(keeper) => keeper,
            None if stay => Keeper::hire(&charge)?,
            None => return Ok(Finish::Done(code)),
        };
        // What ends at once should not spin.
        if stay {
            stay = rests_until(began + RESTART_PAUSE, &mut requests).await;
        }
        if !stay {
            keeper.dismiss().await;
            return Ok(Finish::Done(code));
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
    keeper: &mut Keeper,
    charge: &Charge,
    requests: &mut Requests,
    teller: &mut Teller,
) -> Result<Campaign> {
    let campaign = candidate.campaign(config.patience, requests, teller);
    tokio::pin!(campaign);
    loop {
        tokio::select! {
            biased;
            campaign = &mut campaign => return Ok(campaign),
            news = keeper.next() => if matches!(news, News::Gone) {
                let gone = std::mem::replace(keeper, Keeper::hire(charge)?);
                gone.bury();
            },
        }
    }
}

/// Ends without leadership. Where the store does not say in time whether a claim was granted, the watchdog looks for it.
async fn give_up(candidate: Candidate, keeper: Keeper) {
    if tokio::time::timeout(LAST_ANSWER, candidate.stop()).await.is_ok() {
        keeper.dismiss().await;
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

/// The exit code that says how a run ended.
fn code(outcome: &Outcome) -> u8 {
    match (&outcome.why, outcome.status) {
        (Why::Lost(_) | Why::WatchdogFailed, _) => LOST,
        (Why::NotStarted, _) => stage::NOT_EXECUTABLE,
        (_, Some(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => u8::try_from(code).unwrap_or(1),
            (None, signal) => after(signal.unwrap_or(0)),
        },
        // The watchdog failed while the command was to end: it was killed then.
        (_, None) => after(Signal::KILL.as_raw()),
    }
}

/// The exit code of what a signal ended.
fn after(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    /// The command's own code, 128 and the signal that ended it, or 75 where leadership ended first.
    #[test]
    fn exit_codes_say_how_it_ended() {
        let code = |why, status: Option<i32>| {
            code(&Outcome { status: status.map(ExitStatus::from_raw), why, asked: false, keeper: None })
        };
        assert_eq!(code(Why::Itself, Some(3 << 8)), 3);
        assert_eq!(code(Why::Itself, Some(9)), 137);
        assert_eq!(code(Why::Asked, Some(15)), 143);
        assert_eq!(code(Why::Asked, Some(0)), 0);
        assert_eq!(code(Why::Lost(LossReason::Expired), Some(0)), 75);
        assert_eq!(code(Why::WatchdogFailed, None), 75);
        assert_eq!(code(Why::Asked, None), 137);
    }
}
