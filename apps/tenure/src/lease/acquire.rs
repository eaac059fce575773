//! `tenure lease acquire`: campaigns, prints the line of the lease, and leaves the lease to whoever reads it.
//!
//! The order of steps, for a process that may be killed between any two: (1) a place for the line is made, (2) the key
//! is claimed under a nonce that nobody has had before, (3) the line is put in its file, (4) the line is printed. Nobody
//! believes in a lease before its line is complete, so one that was claimed and not written is nobody's, and ends by its
//! ttl. A nonce is never claimed again by another process: two that share a file would both be granted the key.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure::{Attempt, Election, ElectionError, Event, HolderId, Leadership, LeaseKey, Note, TimingOptions};
use tenure_base_net::durations::{self, short};
use tenure_core::LeaseRecord;
use tenure_store::LeaseStore;
use tokio::time::Instant;

use super::clock::ClockId;
use super::detached_lease::DetachedLease;
use super::lease_file::NextLine;
use crate::exit::{End, Exit, NOT_ACQUIRED};
use crate::host_settings;
use crate::key::KeyArgs;
use crate::signals::Signals;
use crate::store::{self, StoreArgs};
use crate::table::visible;

/// How long an end may wait for a store that does not answer.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// How long a store may take to say who holds what was not acquired.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two attempts to reach a store that is waited for.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Flags of `tenure lease acquire`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The line is one JSON object: key, holder, nonce, term, ttl_ms, remaining_ms, deadline_boottime_ns, boot_id, \
time_namespace; note where there is one. Act under the lease until its deadline at most, in nanoseconds \
of CLOCK_BOOTTIME (/proc/uptime) of that boot and time namespace: it counts from before the request was \
sent, and is earlier than the store's own by a margin (2/15 of the ttl, from 200ms to 2s). Whoever has \
the line can renew and release the lease: keep it to one process.

Nobody renews it but `tenure lease renew`. Killed before the line was printed, nobody holds the lease, \
and it ends with its ttl.

Exit codes: 0 acquired; 64 called wrongly; 69 the store cannot be reached; 74 nobody reads the line, and \
the lease was released; 76 somebody else holds it, or it was not to be had in time.

Examples:
  lease=$(tenure lease acquire reports/nightly --ttl 30s) || exit
  tenure lease acquire deploy --wait 10m --out \"$file\" > /dev/null || exit")]
pub(super) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// How long the lease lasts without renewal [env: TENURE_TTL] [default: 15s]
    #[arg(long, short = 't', value_name = "DURATION", value_parser = durations::parse)]
    ttl: Option<Duration>,
    /// Wait so long for the lease, then exit 76
    #[arg(long, short = 'w', value_name = "DURATION", value_parser = durations::parse, conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Try once, as without --wait
    #[arg(long, short = 'n')]
    no_wait: bool,
    /// Name to hold the lease under [default: host, process and a random suffix]
    #[arg(long, value_name = "NAME", value_parser = parse_holder)]
    holder: Option<HolderId>,
    /// Text to keep with the lease, as `tenure leases` shows it
    #[arg(long, value_name = "TEXT", value_parser = parse_note)]
    note: Option<Note>,
    /// Put the line in this file too: readable by this user alone, replaced as a whole
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs `tenure lease acquire`.
pub(super) fn run(args: Args) -> Result<ExitCode> {
    // What is returned keeps the lease: dropped while the runtime is there, it would release it.
    store::block_on(acquire(args)).map(|ended| ended.code)
}

/// How the command ends.
struct Ended {
    code: ExitCode,
    _left: Option<(Leadership, Election)>,
}

impl From<ExitCode> for Ended {
    fn from(code: ExitCode) -> Ended {
        Ended { code, _left: None }
    }
}

async fn acquire(args: Args) -> Result<Ended> {
    let mut signals = Signals::listen()?;
    let key = args.key.key()?.clone();
    let ttl = host_settings::ttl(args.ttl)?;
    let options = ttl.map_or_else(TimingOptions::default, TimingOptions::with_ttl);
    let timing = options.resolve().map_err(Exit::usage)?;
    let url = args.store.url()?;
    store::check(&url)?;
    if tenure_open::is_private(&url) {
        return Err(Exit::usage(anyhow!(
            "a memory: store ends with this process, and the lease with it: use sqlite:PATH on one machine, or a server's URL"
        )));
    }
    let next = args.out.as_deref().map(NextLine::prepare).transpose()?;
    if let Some(next) = &next {
        check_replaced(next, &key)?;
    }
    let wait = args.wait.filter(|span| !args.no_wait && !span.is_zero());
    let began = Instant::now();
    let until = wait.map(|span| began + span);
    let store = tokio::select! {
        opened = open(&url, until) => opened?,
        signal = signals.next() => return Ok(End::asked(signal).take().into()),
    };
    let note = args.note.unwrap_or_default();
    let builder = Election::builder(Arc::clone(&store), &key).timing(options).note(&note).silent(true);
    let builder = match &args.holder {
        Some(holder) => builder.holder(holder),
        None => builder,
    };
    let election = builder.start().map_err(Exit::usage)?;
    let campaign = Campaign { store: &*store, election: &election, key: &key, wait };
    let outcome = tokio::select! {
        outcome = campaign.run(until) => outcome,
        signal = signals.next() => Ok(Won::Asked(End::asked(signal))),
    };
    let leadership = match outcome {
        Ok(Won::Leadership(leadership)) => leadership,
        without => {
            // A claim that is under way may be granted yet: it is waited for, and released.
            let _ = tokio::time::timeout(LAST_ANSWER, election.stop()).await;
            return without.map(|without| match without {
                Won::Asked(end) => end.take().into(),
                _ => ExitCode::from(NOT_ACQUIRED).into(),
            });
        }
    };
    let lease = DetachedLease {
        key,
        holder: election.holder().clone(),
        nonce: leadership.nonce(),
        term: leadership.term(),
        timing,
        note,
        deadline: leadership.deadline(),
        clock: ClockId::own(),
        released: false,
    };
    if let Err(error) = hand_over(&lease, next) {
        let _ = tokio::time::timeout(LAST_ANSWER, leadership.resign()).await;
        return Err(error);
    }
    Ok(Ended { code: ExitCode::SUCCESS, _left: Some((leadership, election)) })
}

/// Refuses a file whose lease may be in use, under another key: nobody could renew or release that one any more.
fn check_replaced(next: &NextLine, key: &LeaseKey) -> Result<()> {
    match next.current().map_err(Exit::usage)? {
        Some(there) if there.key != *key && !there.remaining().is_zero() => Err(Exit::usage(anyhow!(
            "{} has the lease of {}, whose time is not over: name another file, or release that lease first",
            next.path().display(),
            there.key
        ))),
        _ => Ok(()),
    }
}

/// Gives the line to whoever asked for the lease. On an error nobody has it.
fn hand_over(lease: &DetachedLease, next: Option<NextLine>) -> Result<()> {
    let file = next.as_ref().map(|next| next.path().to_owned());
    if let Some(next) = next {
        next.replace(lease)?;
    }
    let mut out = io::stdout().lock();
    let printed = writeln!(out, "{}", lease.line()).and_then(|()| out.flush());
    match (printed, &file) {
        (Ok(()), _) => Ok(()),
        // The line is in the file for whoever looks there, and may have been read by now.
        (Err(error), Some(_)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        (Err(error), Some(file)) => {
            say!("tenure: the line could not be printed, and stands in {}: {error}", file.display());
            Ok(())
        }
        (Err(error), None) => {
            Err(Exit::output_closed(anyhow::Error::new(error).context("nobody reads the line: the lease is released")))
        }
    }
}

/// Opens the store; where the lease is waited for, also a store that is away.
async fn open(url: &str, until: Option<Instant>) -> Result<Arc<dyn LeaseStore>> {
    let mut told = false;
    loop {
        let error = match within(until, store::open(url)).await {
            Some(Ok(store)) => return Ok(store),
            Some(Err(error)) => error,
            None => return Err(Exit::unreachable(anyhow!("the store {}: no answer in time", tenure_open::shown(url)))),
        };
        match until {
            Some(until) if store::is_away(&error) && Instant::now() + REOPEN_PAUSE < until => {
                if !std::mem::replace(&mut told, true) {
                    say!("tenure: {error:#}; waiting for it");
                }
                tokio::time::sleep(REOPEN_PAUSE).await;
            }
            _ => return Err(error),
        }
    }
}

async fn within<T>(until: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

struct Campaign<'a> {
    store: &'a dyn LeaseStore,
    election: &'a Election,
    key: &'a LeaseKey,
    wait: Option<Duration>,
}

/// What a campaign led to.
enum Won {
    Leadership(Leadership),
    /// Somebody else holds the key, as was told.
    Nothing,
    /// A signal asked for an end.
    Asked(End),
}

impl Campaign<'_> {
    async fn run(&self, until: Option<Instant>) -> Result<Won> {
        let Some(until) = until else { return self.once().await };
        let mut events = self.election.events();
        let waiting = async {
            let mut told = None;
            while let Some(event) = events.next().await {
                if let Event::LeaderChanged { leader: Some(leader), is_self: false, .. } = event
                    && told.as_ref() != Some(&leader)
                {
                    say!("tenure: waiting for {}, held by {}", visible(self.key.as_str()), visible(leader.as_str()));
                    told = Some(leader);
                }
            }
            std::future::pending().await
        };
        let left = until.saturating_duration_since(Instant::now());
        let won = tokio::select! {
            biased;
            won = self.election.campaign_within(left) => won.map_err(failed)?,
            () = waiting => None,
        };
        match won {
            Some(leadership) => Ok(Won::Leadership(leadership)),
            None => self.not_won().await,
        }
    }

    async fn once(&self) -> Result<Won> {
        match self.election.try_campaign().await.map_err(failed)? {
            Attempt::Leading(leadership) => Ok(Won::Leadership(leadership)),
            Attempt::Held { by, term, remaining } => {
                let term = term.map(|term| format!(" (term {term})")).unwrap_or_default();
                self.tell(format_args!("is held by {}{term}{}", visible(by.as_str()), unless_renewed(remaining)));
                Ok(Won::Nothing)
            }
            _ => {
                self.tell(format_args!("was not granted"));
                Ok(Won::Nothing)
            }
        }
    }

    /// Says why waiting was in vain. The last answer counts: where it was that somebody holds the key, the store works.
    async fn not_won(&self) -> Result<Won> {
        let status = self.election.status();
        let is_other = |record: &LeaseRecord| record.holder != *self.election.holder();
        let record = tokio::time::timeout(LOOK_TIMEOUT, self.store.record(self.key)).await;
        match (record, status.store_failure) {
            (Ok(Ok(Some(record))), _) if is_other(&record) => {
                let holder = visible(record.holder.as_str());
                self.tell(format_args!("is held by {holder}{}", unless_renewed(record.remaining)));
            }
            (_, Some(message)) => {
                let waited = self.wait.map(|span| format!("; gave up after {}", durations::show(span)));
                return Err(Exit::unreachable(anyhow!("the store: {message}{}", waited.unwrap_or_default())));
            }
            _ => match status.leader.filter(|leader| leader != self.election.holder()) {
                Some(leader) => self.tell(format_args!("was held by {}", visible(leader.as_str()))),
                None => self.tell(format_args!("was not granted, though nobody is seen to hold it")),
            },
        }
        Ok(Won::Nothing)
    }

    fn tell(&self, why: std::fmt::Arguments<'_>) {
        let key = visible(self.key.as_str());
        match self.wait {
            Some(span) => say!("tenure: {key} {why}; gave up after {}", durations::show(span)),
            None => say!("tenure: {key} {why}; wait for it with --wait"),
        }
    }
}

fn unless_renewed(remaining: Option<Duration>) -> String {
    remaining.map(|left| format!(", for another {} unless it is renewed", short(left))).unwrap_or_default()
}

fn failed(error: ElectionError) -> anyhow::Error {
    match error {
        ElectionError::Store(message) => Exit::unreachable(anyhow!("the store: {message}")),
        other => Exit::unreachable(other),
    }
}

fn parse_holder(text: &str) -> Result<HolderId, String> {
    HolderId::new(text).map_err(|error| error.to_string())
}

pub(super) fn parse_note(text: &str) -> Result<Note, String> {
    Note::new(text).map_err(|error| error.to_string())
}
