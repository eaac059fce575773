//! `tenure watch`: prints who acquires and loses which lease, as it happens.

mod changes;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use serde_json::Value;
use tenure_core::{KeyPrefix, LeaseKey, LeaseRecord};
use tenure_store::{LeaseStore, StoreError, StoreErrorKind, Wake, WakeStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::exit::{End, Exit};
use crate::leases::{self, ListArgs};
use crate::output;
use crate::signals::Signals;
use crate::store::{self, StoreArgs};
use crate::table::{Align, Table, visible};
use changes::{Event, Leases};

/// The longest time between two polls where the store sends hints, because hints can be lost.
const MAX_POLL_WITH_HINTS: Duration = Duration::from_secs(5);
/// The longest time between two polls where the store sends no hints.
const MAX_POLL_WITHOUT_HINTS: Duration = Duration::from_secs(1);
/// How long after the last poll a hint causes the next one, so that many hints cost one poll.
const HINT_DEBOUNCE: Duration = Duration::from_millis(10);
/// The most keys that a poll reads one by one; for more keys a list is cheaper.
const MAX_SINGLE_READS: usize = 32;
/// The first pause after the store failed; it doubles with each failure up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause after the store failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Flags of `tenure watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is held at the start comes first, as acquired; then each change as it is seen. That a tenure begins or ends is learned \
from the store's hints, which may be lost; and by looking again: at each lease six times in its ttl and when its time is \
over, at all keys every 5 s (every second where the store sends no hints). What comes and goes between two looks is not \
told. A lease that goes before its time is over was released (or taken back by force), \
one that goes with it has expired. While the store is away this says so on stderr and goes on trying. Ctrl-C ends it \
with 0, and so does a reader that has gone.

With --json one object a line: event (acquired, renewed, released, expired), at, and what `tenure leases --json` has.

Examples:
  tenure watch myapp/leader
  tenure watch --prefix myapp/
  tenure watch --json | jq -c 'select(.event != \"renewed\")'
  tenure watch myapp/leader --json | while read -r line; do notify \"$line\"; done")]
pub(crate) struct Args {
    /// Only the lease of this key
    #[arg(value_name = "KEY", value_parser = store::parse_key, conflicts_with_all = ["lease", "prefix"])]
    key: Option<LeaseKey>,
    /// Only the lease of this key, in place of the word
    #[arg(long, short = 'l', value_name = "KEY", value_parser = store::parse_key, conflicts_with = "prefix")]
    lease: Option<LeaseKey>,
    #[command(flatten)]
    list: ListArgs,
}

/// Prints changes until interrupted; a closed pipe ends it quietly.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    store::block_on(async {
        let mut signals = Signals::listen()?;
        let closed = Arc::new(Notify::new());
        notice_closed_output(Arc::clone(&closed))?;
        tokio::select! {
            outcome = watch(args.key.or(args.lease), args.list) => outcome.map(|()| ExitCode::SUCCESS),
            () = closed.notified() => Ok(ExitCode::SUCCESS),
            signal = signals.next() => Ok(match signal {
                Signal::INT => ExitCode::SUCCESS,
                other => End::asked(other).take(),
            }),
        }
    })
}

async fn watch(only: Option<LeaseKey>, args: ListArgs) -> Result<()> {
    let store = match args.store.open_to_read().await? {
        Some(store) => store,
        None => {
            say!("tenure: nothing is held: {}; waiting for it", args.store.missing());
            wait_for(&args.store).await?
        }
    };
    let mut watcher = Watcher {
        prefix: only.as_ref().map_or(args.prefix, KeyPrefix::from),
        only,
        leases: Leases::default(),
        lines: if args.json { Lines::Json } else { Lines::Table { table: Table::new(COLUMNS), headed: false } },
        hints: Hints::None,
        wanted: Wanted { all: true, keys: BTreeSet::new() },
        looked: Instant::now(),
        looked_at_all: Instant::now(),
        failed: 0,
    };
    // If the first read fails, the store counts as unreachable at the start; later failures are retried.
    let first = watcher.look(&*store).await.map_err(|error| Exit::unreachable(anyhow::Error::new(error)))?;
    if first.is_empty() {
        match &watcher.only {
            Some(key) => say!("tenure: nobody holds {}; waiting", visible(key.as_str())),
            None => say!("tenure: {}; waiting", leases::nothing_held(&watcher.prefix, store.info().shared)),
        }
    }
    let mut changes = first;
    loop {
        for (event, record) in &changes {
            if !watcher.lines.print(*event, record)? {
                return Ok(());
            }
        }
        watcher.wait().await;
        changes = match watcher.look(&*store).await {
            Ok(changes) => {
                if std::mem::take(&mut watcher.failed) > 0 {
                    say!("tenure: the store answers again");
                }
                changes
            }
            Err(error) => {
                if watcher.failed == 0 {
                    let error = anyhow::Error::new(error);
                    say!(
                        "tenure: the store does not answer: {}; trying again until it does",
                        crate::exit::told(&error)
                    );
                }
                watcher.failed = watcher.failed.saturating_add(1);
                // The connection that brought the hints has probably failed as well.
                watcher.hints.drop_stream();
                Vec::new()
            }
        };
    }
}

/// Waits until the store's file is there.
async fn wait_for(args: &StoreArgs) -> Result<Arc<dyn LeaseStore>> {
    loop {
        if let Some(store) = args.open_to_read().await? {
            return Ok(store);
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

struct Watcher {
    /// What the store is asked for hints of.
    prefix: KeyPrefix,
    /// The one key that is watched; others may begin like it.
    only: Option<LeaseKey>,
    leases: Leases,
    lines: Lines,
    hints: Hints,
    wanted: Wanted,
    /// When the last poll ended, and when the last poll of all keys ended.
    looked: Instant,
    looked_at_all: Instant,
    /// How many polls in a row have failed.
    failed: u32,
}

/// What the next poll reads.
#[derive(Default)]
struct Wanted {
    all: bool,
    keys: BTreeSet<LeaseKey>,
}

impl Wanted {
    fn is_empty(&self) -> bool {
        !self.all && self.keys.is_empty()
    }

    fn add(&mut self, key: Option<LeaseKey>) {
        match key {
            Some(key) if self.keys.len() < MAX_SINGLE_READS => drop(self.keys.insert(key)),
            _ => self.all = true,
        }
    }

    /// Adds what a hint is of, unless `only` another key is watched.
    fn add_hint(&mut self, only: Option<&LeaseKey>, key: Option<LeaseKey>) {
        if only.is_none() || key.is_none() || only == key.as_ref() {
            self.add(key);
        }
    }
}

enum Hints {
    Stream(WakeStream),
    /// There is no stream at the moment; the next poll asks for one.
    None,
    /// This store sends no hints.
    Unsupported,
}

impl Hints {
    fn drop_stream(&mut self) {
        if matches!(self, Hints::Stream(_)) {
            *self = Hints::None;
        }
    }

    /// Waits for a hint. A stream that has ended is dropped. Cancel-safe.
    async fn next(&mut self) -> Wake {
        let Hints::Stream(stream) = self else { return std::future::pending().await };
        match stream.next().await {
            Some(wake) => wake,
            None => {
                *self = Hints::None;
                std::future::pending().await
            }
        }
    }

    /// Takes the hints that have arrived already.
    fn gather(&mut self, only: Option<&LeaseKey>, wanted: &mut Wanted) {
        // Bounded, because a store that sends hints without end must still be polled.
        for _ in 0..10_000 {
            match self.next().now_or_never() {
                Some(wake) => wanted.add_hint(only, wake.key),
                None => return,
            }
        }
    }
}

impl Watcher {
    /// Asks for a stream of hints where there is none. Changes before the stream begins cause no hint.
    async fn subscribe(&mut self, store: &dyn LeaseStore) {
        if matches!(self.hints, Hints::None) {
            self.wanted.all = true;
            match tokio::time::timeout(store::ANSWER, store.watch(&self.prefix)).await {
                Ok(Ok(stream)) => self.hints = Hints::Stream(stream),
                Ok(Err(error)) if error.kind() == StoreErrorKind::Unsupported => self.hints = Hints::Unsupported,
                // Polling goes on without hints; the next poll asks for them again.
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    async fn look(&mut self, store: &dyn LeaseStore) -> Result<Vec<(Event, LeaseRecord)>, LookError> {
        self.subscribe(store).await;
        let changes = match std::mem::take(&mut self.wanted) {
            Wanted { all: true, .. } => {
                let sent = tenure::now();
                let records = match &self.only {
                    Some(key) => answered(store.record(key)).await?.into_iter().collect(),
                    None => answered(store.list(&self.prefix)).await?,
                };
                self.looked_at_all = Instant::now();
                self.leases.look(sent, tenure::now(), records)
            }
            Wanted { keys, .. } => {
                let sent = tenure::now();
                let records = answered(try_join_all(keys.iter().map(|key| store.record(key)))).await?;
                let now = tenure::now();
                let looks = keys.iter().zip(records);
                looks.flat_map(|(key, record)| self.leases.look_at(sent, now, key, record)).collect()
            }
        };
        self.looked = Instant::now();
        Ok(changes)
    }

    /// Waits until the next poll is due, and adds to `wanted` what it reads.
    async fn wait(&mut self) {
        if self.failed > 0 {
            let pause = FIRST_PAUSE.saturating_mul(1 << (self.failed - 1).min(10)).min(LONGEST_PAUSE);
            self.wanted.all = true;
            return tokio::time::sleep(pause).await;
        }
        let most = if matches!(self.hints, Hints::Stream(_)) { MAX_POLL_WITH_HINTS } else { MAX_POLL_WITHOUT_HINTS };
        let all = self.looked_at_all + most;
        while self.wanted.is_empty() {
            let until = all.min(Instant::now() + self.leases.next_look(tenure::now(), most));
            tokio::select! {
                wake = self.hints.next() => {
                    self.wanted.add_hint(self.only.as_ref(), wake.key);
                    tokio::time::sleep_until(self.looked + HINT_DEBOUNCE).await;
                    self.hints.gather(self.only.as_ref(), &mut self.wanted);
                }
                () = tokio::time::sleep_until(until) => {}
            }
            self.wanted.all |= Instant::now() >= all;
            self.leases.due(tenure::now()).for_each(|key| self.wanted.add(Some(key.clone())));
        }
    }
}

async fn answered<T>(question: impl Future<Output = Result<T, StoreError>>) -> Result<T, LookError> {
    match tokio::time::timeout(store::ANSWER, question).await {
        Ok(answer) => answer.map_err(LookError::Failed),
        Err(_) => Err(LookError::TimedOut),
    }
}

/// Why a poll failed.
#[derive(Debug)]
enum LookError {
    Failed(tenure_store::StoreError),
    TimedOut,
}

impl std::fmt::Display for LookError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LookError::Failed(error) => error.fmt(f),
            LookError::TimedOut => write!(f, "no answer within {:?}", store::ANSWER),
        }
    }
}

impl std::error::Error for LookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LookError::Failed(error) => std::error::Error::source(error),
            LookError::TimedOut => None,
        }
    }
}

/// How changes are written.
enum Lines {
    Json,
    Table { table: Table, headed: bool },
}

const COLUMNS: &[(&str, Align)] = &[
    ("TIME", Align::Left),
    ("EVENT", Align::Left),
    ("KEY", Align::Left),
    ("HOLDER", Align::Left),
    ("TERM", Align::Right),
    ("LEFT", Align::Right),
    ("TTL", Align::Right),
    ("NOTE", Align::Left),
];

impl Lines {
    /// Writes one change; returns false if nobody reads any more.
    fn print(&mut self, event: Event, record: &LeaseRecord) -> Result<bool> {
        let now = jiff::Timestamp::now();
        let written = match self {
            Lines::Json => {
                let mut members = leases::json(record);
                members.insert("event".into(), event.word().into());
                members.insert("at".into(), format!("{now:.3}").into());
                output::line_if_read(Value::Object(members))
            }
            Lines::Table { table, headed } => {
                let mut cells = vec![clock(now), event.word().to_owned()];
                cells.extend(leases::cells(record));
                table.fit(&cells);
                if !std::mem::replace(headed, true) && !output::line_if_read(table.heading())? {
                    return Ok(false);
                }
                output::line_if_read(table.row(&cells))
            }
        };
        written.context("cannot write")
    }
}

/// The time of the day, UTC.
fn clock(now: jiff::Timestamp) -> String {
    let text = format!("{now:.3}");
    text.split_once('T').map_or(text.clone(), |(_, time)| time.to_owned())
}

/// Notifies `closed` when nobody reads stdout any more, even while there is nothing to write.
fn notice_closed_output(closed: Arc<Notify>) -> Result<()> {
    let watch = move || {
        let stdout = rustix::stdio::stdout();
        // No event is requested, so that only errors and the reader's end wake the poll.
        let mut output = [PollFd::new(&stdout, PollFlags::empty())];
        while matches!(poll(&mut output, None), Ok(0) | Err(rustix::io::Errno::INTR)) {}
        closed.notify_one();
    };
    std::thread::Builder::new().name("output-watch".into()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}
