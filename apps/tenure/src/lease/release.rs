//! `tenure lease release`: gives up the lease of a line.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::json;
use tenure_core::Released;
use tenure_store::{Answers, StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::detached_lease::DetachedLease;
use super::source::{Source, SourceArgs};
use crate::exit::{Exit, LOST};
use crate::output;
use crate::store::{self, StoreArgs};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Flags of `tenure lease release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Release the lease after the work has ended, never before: somebody else has it at once. In a FILE the line is marked first, \
and nothing renews it any more, whatever becomes of the release; a release may be repeated. A line from standard input cannot \
be marked: throw it away yourself.

Prints one JSON object: key, released. Exit codes: 0 released; 64 called wrongly; 69 the store cannot be reached, and the \
lease ends with its ttl; 75 it was over already.

Examples:
  tenure lease release \"$file\"
  tenure lease release <<< \"$lease\"")]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

/// Runs `tenure lease release`.
pub(super) fn run(args: Args) -> Result<ExitCode> {
    let source = args.source.read()?;
    if !args.source.is_expected(&source.lease) {
        return Ok(super::status::another_term(&source.lease));
    }
    store::block_on(release(&args.source.store, source))
}

async fn release(args: &StoreArgs, source: Source) -> Result<ExitCode> {
    let lease = source.lease.clone();
    // Whoever worked until now worked under no lease: that it could still be freed does not change it.
    let was_over = !lease.released && lease.own_deadline().is_some_and(|deadline| deadline <= tenure::now());
    let Some(store) = args.open_existing().await? else {
        return Err(Exit::unreachable(anyhow!("{}", args.elsewhere())));
    };
    // Before the store is told: from that moment on somebody else may hold the lease.
    source.end(&DetachedLease { released: true, ..lease.clone() }.over())?;
    let until = Instant::now() + store::ANSWER;
    let mut may_be_done = false;
    let released = loop {
        match store::answer(async { one(store.release(&[lease.held()]).await) }).await {
            // What an attempt without an answer has released is not held any more when it is asked for again.
            Ok(released) => break released == Released::Freed || may_be_done,
            Err(error) if Instant::now() + PAUSE < until => {
                may_be_done |= store::is_outcome_unknown(&error);
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                return Err(Exit::unreachable(error.context(format!(
                    "the release was not confirmed: at the latest the lease ends by itself, {} after its last renewal",
                    tenure_base_net::durations::show(lease.timing.ttl())
                ))));
            }
        }
    };
    let released = released && !was_over;
    output::line(json!({ "key": lease.key.as_str(), "released": released }))?;
    Ok(ExitCode::from(if released { 0 } else { LOST }))
}

/// The one answer of a batch of one.
pub(super) fn one<T>(answers: Result<Answers<T>, StoreError>) -> Result<T, StoreError> {
    let missing = || StoreError::new(StoreErrorKind::Corrupt, "the store answered no item");
    answers?.pop().unwrap_or_else(|| Err(missing()))
}
