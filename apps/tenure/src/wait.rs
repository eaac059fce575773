//! `tenure wait`: waits until nobody holds a lease.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure_base_net::durations;
use tenure_core::{KeyPrefix, LeaseKey, LeaseRecord};
use tenure_store::{LeaseStore, WakeStream};
use tokio::time::Instant;

use crate::exit::{End, Exit, NOT_ACQUIRED};
use crate::hint::wait_for_hint;
use crate::key::KeyArgs;
use crate::signals::Signals;
use crate::store::{self, StoreArgs};
use crate::table::visible;

/// The longest pause between two looks where the store sends hints, and where it sends none.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(200));
/// How long the first answer may take, however short the wait.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// The shortest pause.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// Flags of `tenure wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit 0: nobody holds the lease, or nobody did for a moment; another holder may have it by now, so whoever wants it acquires \
it, as `tenure run` does. Exit 76: it was held all the time. Exit 69: the store cannot be reached. Nothing is printed on standard output.

Example:
  tenure wait deploy --timeout 10m && echo 'the deployment is over'")]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Wait so long at most [default: for ever]
    #[arg(long, short = 'w', alias = "wait", value_name = "DURATION", value_parser = durations::parse)]
    timeout: Option<Duration>,
}

/// Runs `tenure wait`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    store::block_on(async {
        let mut signals = Signals::listen()?;
        let key = args.key.key()?;
        let until = args.timeout.map(|timeout| Instant::now() + timeout);
        tokio::select! {
            waited = wait(&args.store, key, until) => waited,
            signal = signals.next() => Ok(End::asked(signal).take()),
        }
    })
}

async fn wait(args: &StoreArgs, key: &LeaseKey, until: Option<Instant>) -> Result<ExitCode> {
    // A store is not away because nobody waited for it.
    let least = Instant::now() + FIRST_ANSWER;
    let last = until.map_or_else(|| Instant::now() + store::ANSWER, |until| until.max(least));
    let first = tokio::time::timeout_at(last, look_first(args, key)).await;
    let no_answer = || Exit::unreachable(anyhow!("the store: no answer in time"));
    let Some((store, mut hints, mut held)) = first.map_err(|_| no_answer())?? else {
        say!("tenure: nobody holds {}: {}", visible(key.as_str()), args.missing());
        return Ok(ExitCode::SUCCESS);
    };
    let mut failed = false;
    loop {
        let Some(record) = &held else { return Ok(ExitCode::SUCCESS) };
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(ExitCode::from(NOT_ACQUIRED));
        }
        let longest = if hints.is_some() { PAUSES.0 } else { PAUSES.1 };
        let pause = record.remaining.map_or(longest, |left| left.min(longest)).max(LEAST_PAUSE);
        let next = Instant::now() + pause;
        wait_for_hint(&mut hints, until.map_or(next, |until| until.min(next))).await;
        match look_until(&*store, key, until).await {
            Ok(record) => {
                held = record;
                failed = false;
            }
            // The wait was over before the answer came.
            Err(_) if until.is_some_and(|until| Instant::now() >= until) => {}
            Err(error) if !std::mem::replace(&mut failed, true) => {
                say!("tenure: {error:#}; trying again until it answers");
            }
            Err(_) => {}
        }
    }
}

/// The store, its hints and what it says; `None` where there is no store yet. Subscribed before the first look, so that no release is
/// missed; without hints looking is enough.
async fn look_first(args: &StoreArgs, key: &LeaseKey) -> Result<Option<First>> {
    let Some(store) = args.open_to_read().await? else { return Ok(None) };
    let hints = store::answer(store.watch(&KeyPrefix::from(key))).await.ok();
    let held = look(&*store, key).await.map_err(Exit::unreachable)?;
    Ok(Some((store, hints, held)))
}

type First = (Arc<dyn LeaseStore>, Option<WakeStream>, Option<LeaseRecord>);

/// A store that does not answer ends no later than the wait.
async fn look_until(store: &dyn LeaseStore, key: &LeaseKey, until: Option<Instant>) -> Result<Option<LeaseRecord>> {
    let last = Instant::now() + store::ANSWER;
    let until = until.map_or(last, |until| until.min(last));
    tokio::time::timeout_at(until, look(store, key))
        .await
        .unwrap_or_else(|_| Err(anyhow!("the store: no answer in time")))
}

async fn look(store: &dyn LeaseStore, key: &LeaseKey) -> Result<Option<LeaseRecord>> {
    store::record(store, key).await
}
