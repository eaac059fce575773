//! `tenure lease renew`: extends the lease of a line, and prints the line anew.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure::{Note, Time};
use tenure_base_net::durations::short;
use tenure_core::Renewed;
use tenure_store::{LeaseStore, StoreError};

use super::detached_lease::DetachedLease;
use super::source::{Source, SourceArgs};
use crate::exit::{Exit, LOST};
use crate::output;
use crate::store::{self, StoreArgs};
use crate::table::visible;

/// How often an answer that came too late to be of use is asked for again.
const LATE_ANSWERS: u32 = 3;
/// Less time is not worth another attempt.
const LEAST_ATTEMPT: Duration = Duration::from_millis(50);

/// Flags of `tenure lease renew`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Renew in good time: by default every third of the ttl. A store that does not answer is asked again while enough of the \
lease's time is left to stop (a third of the ttl, at most 10s), so where this command fails it is time to stop; called later \
than that, it asks once, and ends by the deadline. The line \
has resign_requested besides: true where `tenure resign` asked for the lease; then finish, and release it.

A FILE is replaced as a whole; where the lease is lost, by a line without time. Lost is final: a lease whose ttl has run \
out is not renewed, even if nobody took it.

Exit codes: 0 renewed; 64 called wrongly; 69 the store cannot be reached; 75 the lease is over.

Examples:
  tenure lease renew \"$file\" > /dev/null || exit
  lease=$(tenure lease renew <<< \"$lease\") || exit")]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Replace the text that is kept with the lease
    #[arg(long, value_name = "TEXT", value_parser = super::acquire::parse_note)]
    note: Option<Note>,
}

/// Runs `tenure lease renew`.
pub(super) fn run(args: Args) -> Result<ExitCode> {
    let source = args.source.read()?;
    if source.lease.released {
        say!("tenure: the lease of {} was released", visible(source.lease.key.as_str()));
        return Ok(ExitCode::from(LOST));
    }
    if !args.source.is_expected(&source.lease) {
        return Ok(super::status::another_term(&source.lease));
    }
    store::block_on(renew(&args.source.store, source, args.note))
}

async fn renew(store: &StoreArgs, source: Source, note: Option<Note>) -> Result<ExitCode> {
    let mut lease = source.lease.clone();
    lease.note = note.unwrap_or(lease.note);
    // Fails where the URL is wrong, before anything is tried again and again.
    if store.missing_file()?.is_some() {
        return Err(Exit::unreachable(anyhow!("{}", store.elsewhere())));
    }
    match ask(store, &lease).await? {
        Answer::Extended { deadline, resign_requested } => {
            let lease = lease.until(deadline);
            match source.replace(&lease) {
                Ok(true) => {}
                Ok(false) => {
                    // Somebody has released it, or has put another line there, while this was under way.
                    say!(
                        "tenure: the lease of {} was released, or its file has another by now",
                        visible(lease.key.as_str())
                    );
                    return Ok(ExitCode::from(LOST));
                }
                Err(error) => {
                    say!("tenure: the lease is renewed, but its file still has the deadline before: {error:#}");
                }
            }
            output::line(lease.renewed_line(resign_requested))?;
            Ok(ExitCode::SUCCESS)
        }
        Answer::Lost { to } => {
            let now = to.map_or("nobody".to_owned(), |holder| visible(&holder));
            say!("tenure: the lease of {} is over; held by {now} now", visible(lease.key.as_str()));
            // Whoever reads the file learns of it too.
            let lease = source.lease.clone().over();
            if let Err(error) = source.replace(&lease) {
                say!("tenure: {error:#}");
            }
            Ok(ExitCode::from(LOST))
        }
    }
}

enum Answer {
    Extended { deadline: Time, resign_requested: bool },
    Lost { to: Option<String> },
}

/// Asks until there is an answer, or until it is time to stop.
async fn ask(store: &StoreArgs, lease: &DetachedLease) -> Result<Answer> {
    let timing = &lease.timing;
    let url = store.url()?;
    let stop_at = lease.own_deadline().map(|deadline| deadline - timing.stop_timeout());
    let mut opened: Option<Arc<dyn LeaseStore>> = None;
    let mut late = 0;
    loop {
        let most = longest(tenure::now(), stop_at, lease.own_deadline(), timing.request_timeout());
        let attempt = async {
            let store = match &opened {
                Some(store) => Arc::clone(store),
                None => Arc::clone(opened.insert(store::open(&url).await?)),
            };
            let sent = tenure::now();
            let request = tokio::time::timeout(timing.request_timeout(), one_renewal(&*store, lease)).await;
            let answer = request.map_err(|_| no_answer(timing.request_timeout()))?;
            anyhow::Ok((answer.map_err(Exit::unreachable)?, sent + timing.validity()))
        };
        let answer = tokio::time::timeout(most, attempt).await.unwrap_or_else(|_| Err(no_answer(most)));
        let error = match answer {
            Ok((Renewed::Lost { to }, _)) => return Ok(Answer::Lost { to: to.map(|holder| holder.to_string()) }),
            Ok((Renewed::Extended { resign_requested }, deadline)) if deadline > tenure::now() => {
                return Ok(Answer::Extended { deadline, resign_requested });
            }
            Ok((Renewed::Extended { .. }, _)) if late < LATE_ANSWERS => {
                late += 1;
                continue;
            }
            Ok((Renewed::Extended { .. }, _)) => no_answer(timing.validity()),
            Err(error) => error,
        };
        let is_usage = error.downcast_ref::<Exit>().is_some_and(Exit::is_usage);
        let retry = tenure::now() + timing.retry_interval().min(Duration::from_millis(500));
        match stop_at {
            Some(stop_at) if !is_usage && retry + LEAST_ATTEMPT < stop_at => {
                tokio::time::sleep(retry.since(tenure::now())).await
            }
            _ if is_usage => return Err(error),
            _ => {
                let left = lease.remaining();
                let lasts =
                    if left.is_zero() { "is over by now".into() } else { format!("lasts for {} more", short(left)) };
                return Err(Exit::unreachable(error.context(format!("not renewed, and the lease {lasts}"))));
            }
        }
    }
}

/// How long one attempt may take, connecting included: until it is time to stop; where that has come, until the lease is over; where
/// that has come too, one request's time, for an answer that says so.
fn longest(now: Time, stop_at: Option<Time>, deadline: Option<Time>, request: Duration) -> Duration {
    let left = |at: Option<Time>| at.map(|at| at.since(now)).filter(|left| !left.is_zero());
    let most = match (left(stop_at), left(deadline)) {
        (Some(left), _) => left,
        (None, Some(left)) => left.min(request),
        (None, None) if deadline.is_some() => request,
        // The deadline is another clock's.
        (None, None) => store::ANSWER,
    };
    most.min(store::ANSWER)
}

async fn one_renewal(store: &dyn LeaseStore, lease: &DetachedLease) -> Result<Renewed, StoreError> {
    super::release::one(store.renew(&[lease.held()]).await)
}

fn no_answer(within: Duration) -> anyhow::Error {
    Exit::unreachable(anyhow!("the store: no answer within {}", short(within)))
}
