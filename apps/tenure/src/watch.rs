//! `tenure watch`: who gets and loses what, as it happens.

mod changes;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{FutureExt, StreamExt};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;
use tenure_core::{KeyPrefix, LeaseRecord};
use tenure_store::{LeaseStore, StoreErrorKind, WakeStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::exit::{self, Exit};
use crate::leases::{self, ListArgs};
use crate::output;
use crate::signals::Signals;
use crate::store::{self, StoreArgs};
use crate::table::{Align, Table};
use changes::{Event, Leases};

/// The most time between two looks where the store sends hints: each of them may be lost.
const MOST_WITH_HINTS: Duration = Duration::from_secs(5);
/// The same where it sends none.
const MOST_WITHOUT: Duration = Duration::from_secs(1);
/// How long a hint waits for the next one, so that many cost one look.
const GATHER: Duration = Duration::from_millis(10);
/// The first pause after the store failed; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Flags of `tenure watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is held at the start comes first, as acquired; then each change as it is seen. Changes are learned from the store's \
hints, which may be lost, and by looking again, at the latest every 5 s and more often where leases are short: what comes \
and goes between two looks is not told. A lease that goes before its time is over was released (or taken back by force), \
one that goes with it has expired. While the store is away this says so on stderr and goes on trying. Ctrl-C ends it \
with 0, and so does a reader that has gone.

With --json one object a line: event (acquired, renewed, released, expired), at, and what `tenure leases --json` has.

Examples:
  tenure watch --prefix myapp/
  tenure watch --json | jq -c 'select(.event != \"renewed\")'
  tenure watch --json --prefix myapp/leader | while read -r line; do notify \"$line\"; done")]
pub(crate) struct Args {
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
            outcome = watch(args.list) => outcome.map(|()| ExitCode::SUCCESS),
            () = closed.notified() => Ok(ExitCode::SUCCESS),
            signal = signals.next() => Ok(match signal {
                "SIGINT" => ExitCode::SUCCESS,
                other => ExitCode::from(exit::after(other)),
            }),
        }
    })
}

async fn watch(args: ListArgs) -> Result<()> {
    let store = match args.store.open_existing().await? {
        Some(store) => store,
        None => {
            say!("tenure: nothing is held: {}; waiting for it", args.store.missing());
            wait_for(&args.store).await?
        }
    };
    let mut watcher = Watcher {
        prefix: args.prefix,
        leases: Leases::default(),
        lines: if args.json { Lines::Json } else { Lines::Table { table: Table::new(COLUMNS), headed: false } },
        hints: Hints::None,
        failed: 0,
    };
    watcher.subscribe(&*store).await;
    // A store that does not answer the first question is unreachable at the start; later it is waited for.
    let first = watcher.look(&*store).await.map_err(|error| Exit::unreachable(anyhow::Error::new(error)))?;
    if first.is_empty() {
        say!("tenure: {}; waiting", leases::nothing_held(&watcher.prefix, store.info().shared));
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
                    say!("tenure: the store does not answer: {error:#}; trying again until it does");
                }
                watcher.failed = watcher.failed.saturating_add(1);
                // Whatever hints came from has probably gone as well.
                watcher.hints.drop_stream();
                Vec::new()
            }
        };
    }
}

/// Waits until the store's file is there.
async fn wait_for(args: &StoreArgs) -> Result<Arc<dyn LeaseStore>> {
    loop {
        if let Some(store) = args.open_existing().await? {
            return Ok(store);
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

struct Watcher {
    prefix: KeyPrefix,
    leases: Leases,
    lines: Lines,
    hints: Hints,
    /// How many looks in a row have failed.
    failed: u32,
}

enum Hints {
    Stream(WakeStream),
    /// None at the moment; asked for again.
    None,
    /// This store has none.
    Unsupported,
}

impl Hints {
    fn drop_stream(&mut self) {
        if matches!(self, Hints::Stream(_)) {
            *self = Hints::None;
        }
    }

    /// Waits for a hint, and gathers those that come with it. A stream that has ended is dropped.
    async fn next(&mut self) {
        let Hints::Stream(stream) = self else { return std::future::pending().await };
        if stream.next().await.is_none() {
            *self = Hints::None;
            return std::future::pending().await;
        }
        tokio::time::sleep(GATHER).await;
        // Bounded: a store that hints without end must still be looked at.
        for _ in 0..10_000 {
            match stream.next().now_or_never() {
                Some(Some(_)) => {}
                Some(None) => return *self = Hints::None,
                None => return,
            }
        }
    }
}

impl Watcher {
    async fn subscribe(&mut self, store: &dyn LeaseStore) {
        if matches!(self.hints, Hints::None) {
            match tokio::time::timeout(store::ANSWER, store.watch(&self.prefix)).await {
                Ok(Ok(stream)) => self.hints = Hints::Stream(stream),
                Ok(Err(error)) if error.kind() == StoreErrorKind::Unsupported => self.hints = Hints::Unsupported,
                // Looking goes on without hints; they are asked for again with the next look.
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    async fn look(&mut self, store: &dyn LeaseStore) -> Result<Vec<(Event, LeaseRecord)>, Unanswered> {
        self.subscribe(store).await;
        let sent = tenure::now();
        let records = match tokio::time::timeout(store::ANSWER, store.list(&self.prefix)).await {
            Ok(records) => records.map_err(Unanswered::Failed)?,
            Err(_) => return Err(Unanswered::Late),
        };
        Ok(self.leases.look(sent, tenure::now(), records))
    }

    /// Waits until it is time to look again.
    async fn wait(&mut self) {
        if self.failed > 0 {
            let pause = FIRST_PAUSE.saturating_mul(1 << (self.failed - 1).min(10)).min(LONGEST_PAUSE);
            return tokio::time::sleep(pause).await;
        }
        let most = if matches!(self.hints, Hints::Stream(_)) { MOST_WITH_HINTS } else { MOST_WITHOUT };
        let until = Instant::now() + self.leases.next_look(tenure::now(), most);
        tokio::select! {
            () = self.hints.next() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Why a look failed.
#[derive(Debug)]
enum Unanswered {
    Failed(tenure_store::StoreError),
    Late,
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unanswered::Failed(error) => error.fmt(f),
            Unanswered::Late => write!(f, "no answer within {:?}", store::ANSWER),
        }
    }
}

impl std::error::Error for Unanswered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unanswered::Failed(error) => std::error::Error::source(error),
            Unanswered::Late => None,
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
    /// Writes one change; false where nobody reads any more.
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

/// Tells when nobody reads stdout any more, also while there is nothing to write.
fn notice_closed_output(closed: Arc<Notify>) -> Result<()> {
    let watch = move || {
        let stdout = rustix::stdio::stdout();
        // Nothing is asked for, so that only errors and the end of the other side wake it.
        let mut output = [PollFd::new(&stdout, PollFlags::empty())];
        while matches!(poll(&mut output, None), Ok(0) | Err(rustix::io::Errno::INTR)) {}
        closed.notify_one();
    };
    std::thread::Builder::new().name("output-watch".into()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}
