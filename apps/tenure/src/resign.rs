//! `tenure resign`: asks the holder of a lease to give it up, or takes it away.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use tenure_core::{KeyPrefix, LeaseKey, LeaseRecord, RecordFormat, Term};
use tenure_store::{LeaseStore, WakeStream, foreign};
use tokio::time::Instant;

use crate::exit::Exit;
use crate::hint::wait_for_hint;
use crate::key::KeyArgs;
use crate::output;
use crate::store::{self, StoreArgs};
use crate::table::visible;
use tenure_base_net::durations::{self, short};

/// How often the record is read again, with or without hints.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait for a successor, so that the output can name it.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(1);

/// Flags of `tenure resign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The holder learns of the request with its next renewal (after a third of its ttl by default), drains its work, then \
releases; for one ttl after that it leaves the key to others. The exit code is 0 once its tenure is over, and 1 where it \
is not over in time or where nobody holds the key. A lease that nobody renews, as `tenure run --hold-for` leaves one, hears \
nothing: it ends with its time, or by --force.

--force deletes the lease: somebody else can be granted the key at once, while the old holder may act until it notices, \
at the latest at the moment that is printed. Stop the old holder first, or see that whatever it writes to checks terms. \
With --timeout as well, the holder is asked first and the lease deleted only if it has not ended by then.

With --json one object: key, over, was {holder, term}, now {holder, term} or null, after_ms; with --force also removed, \
bound_to (the member's key that the lease was bound to, or null), may_act_ms and may_act_until. Where nobody holds the key, was is null and over false.

Examples:
  hand over, without killing anything:
  tenure resign myapp/leader

  for work that takes long to drain:
  tenure resign myapp/leader --timeout 5m

  its host is gone: do not wait for the ttl:
  tenure resign myapp/leader --force")]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// How long to wait for the end of the tenure [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    timeout: Option<Duration>,
    /// Delete the lease, whoever holds it
    #[arg(long)]
    force: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `tenure resign`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    store::block_on(async {
        let key = args.key.key()?;
        let Some(store) = args.store.open_existing().await? else {
            tell_nothing_done(key, &args, None)?;
            return Err(anyhow!("nobody holds {}: {}", key, args.store.missing()));
        };
        let resign = Resign { store: &*store, key, args: &args };
        match (args.force, args.timeout) {
            (true, None) => resign.remove().await,
            (true, Some(timeout)) => resign.ask_then_remove(timeout).await,
            (false, timeout) => resign.ask(timeout.unwrap_or(Duration::from_secs(30))).await,
        }
    })
}

struct Resign<'a> {
    store: &'a dyn LeaseStore,
    key: &'a LeaseKey,
    args: &'a Args,
}

/// What the request led to.
enum ResignOutcome {
    /// The tenure is over; `now` is the record of the key's next holder, if any.
    Over { now: Option<LeaseRecord>, after: Duration },
    /// The tenure did not end in time; `last` is its record as last read, `renewed` whether a renewal was seen.
    NotInTime { last: LeaseRecord, renewed: bool },
    /// The holder cannot be asked: it is another program, or its record has an unknown format.
    Unsupported,
}

impl Resign<'_> {
    async fn ask(&self, timeout: Duration) -> Result<ExitCode> {
        let was = self.holder().await?;
        match self.wait(&was, timeout).await? {
            ResignOutcome::Over { now, after } => self.tell_over(&was, now.as_ref(), after),
            ResignOutcome::NotInTime { last, renewed } => {
                self.tell_not_over(&last, renewed, timeout)?;
                Ok(ExitCode::FAILURE)
            }
            ResignOutcome::Unsupported => {
                tell_nothing_done(self.key, self.args, Some(&was))?;
                Err(self.cannot_be_asked(&was))
            }
        }
    }

    async fn ask_then_remove(&self, timeout: Duration) -> Result<ExitCode> {
        let was = self.holder().await?;
        match self.wait(&was, timeout).await? {
            ResignOutcome::Over { now, after } => self.tell_over(&was, now.as_ref(), after),
            ResignOutcome::NotInTime { .. } | ResignOutcome::Unsupported => self.remove().await,
        }
    }

    async fn remove(&self) -> Result<ExitCode> {
        let Some(record) = store::answer(self.store.remove(self.key)).await.map_err(Exit::unreachable)? else {
            return Err(self.nobody()?);
        };
        let until = until(&record);
        if self.args.json {
            output::line(json!({
                "key": self.key.as_str(),
                "over": true,
                "removed": true,
                "was": who(&record),
                "now": null,
                "bound_to": record.bound.as_ref().map(|bound| bound.member.as_str()),
                "may_act_ms": record.remaining.map(millis),
                "may_act_until": until.map(|until| format!("{until:.3}")),
            }))?;
        } else {
            let bound = record.bound.as_ref().map_or(String::new(), |bound| {
                format!(", which was bound to {} (term {})", shown(bound.member.as_str()), bound.term)
            });
            output::line(format_args!("deleted the lease {} of {}{bound}", shown(self.key.as_str()), name(&record)))?;
        }
        let holder = visible(record.holder.as_str());
        if let Some(bound) = &record.bound {
            say!(
                "tenure: {holder} may still act until it looks at the record again, and longer than its lease of {member} it \
                 never does (`tenure leases {member}`): stop it now, or start nothing that must not overlap before then",
                member = shown(bound.member.as_str())
            );
            return Ok(ExitCode::SUCCESS);
        }
        match (record.remaining, until) {
            (Some(left), Some(until)) => say!(
                "tenure: {holder} may still act until {until:.0} ({} from now), beside whoever is granted the key \
                 meanwhile: stop it now, or start nothing that must not overlap before then",
                short(left)
            ),
            _ => say!(
                "tenure: nobody knows until when {holder} may act: stop it before anything starts that must not overlap"
            ),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Reads the record as it stands before the request.
    async fn holder(&self) -> Result<LeaseRecord> {
        let record = store::record(self.store, self.key).await.map_err(Exit::unreachable)?;
        match record {
            Some(record) => Ok(record),
            None => Err(self.nobody()?),
        }
    }

    /// Asks, then waits for the end of the tenure that `was` shows.
    async fn wait(&self, was: &LeaseRecord, timeout: Duration) -> Result<ResignOutcome> {
        let began = tenure::now();
        // Subscribed before the request, so that no release is missed. Without hints polling is enough.
        let mut hints = store::answer(self.store.watch(&KeyPrefix::from(self.key))).await.ok();
        let asked = store::answer(self.store.request_resign(self.key)).await.map_err(Exit::unreachable)?;
        if !asked && was.term.is_none() {
            return Ok(ResignOutcome::Unsupported);
        }
        let until = Instant::now() + timeout;
        let (mut last, mut renewed) = (was.clone(), false);
        loop {
            match store::record(self.store, self.key).await {
                Ok(Some(record)) if is_same(&record, was) => {
                    // The remaining time grows only by a renewal.
                    renewed |= record.remaining > last.remaining;
                    last = record;
                }
                Ok(now) => {
                    let after = tenure::now().since(began);
                    return Ok(ResignOutcome::Over { now: self.successor(now, hints).await, after });
                }
                // The request was sent, so a store that fails for a moment is asked again.
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => {}
            }
            if Instant::now() >= until {
                return Ok(ResignOutcome::NotInTime { last, renewed });
            }
            wait_for_hint(&mut hints, until.min(Instant::now() + POLL_INTERVAL)).await;
        }
    }

    /// Waits up to [`SUCCESSOR_TIMEOUT`] for somebody to take the key.
    async fn successor(&self, mut now: Option<LeaseRecord>, mut hints: Option<WakeStream>) -> Option<LeaseRecord> {
        let until = Instant::now() + SUCCESSOR_TIMEOUT;
        while now.is_none() && Instant::now() < until {
            wait_for_hint(&mut hints, until.min(Instant::now() + POLL_INTERVAL / 4)).await;
            now = store::record(self.store, self.key).await.ok().flatten();
        }
        now
    }

    fn tell_over(&self, was: &LeaseRecord, now: Option<&LeaseRecord>, after: Duration) -> Result<ExitCode> {
        if self.args.json {
            output::line(json!({
                "key": self.key.as_str(),
                "over": true,
                "was": who(was),
                "now": now.map(who),
                "after_ms": millis(after),
            }))?;
        } else {
            let key = shown(self.key.as_str());
            output::line(format_args!("{key} was held by {}; that tenure is over after {}", name(was), short(after)))?;
            match now {
                Some(now) => output::line(format_args!("{key} is now held by {}", name(now)))?,
                None => output::line(format_args!("{key} is held by nobody now"))?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell_not_over(&self, last: &LeaseRecord, renewed: bool, timeout: Duration) -> Result<()> {
        if self.args.json {
            output::line(json!({
                "key": self.key.as_str(),
                "over": false,
                "was": who(last),
                "now": who(last),
                "after_ms": millis(timeout),
            }))?;
        }
        let held =
            format!("{} is still held by {} after {}", shown(self.key.as_str()), name(last), durations::show(timeout));
        let what_to_do = "The request stays: wait longer with --timeout, look with `tenure watch`, or delete the lease with \
                          --force";
        if renewed {
            say!(
                "tenure: {held}, and renewed it meanwhile: with that it learns of the request, and then drains its work. \
                 {what_to_do}"
            );
            return Ok(());
        }
        if let Some(bound) = &last.bound {
            say!(
                "tenure: {held}. It is bound to {}: its holder learns of the request when it looks at the record again, and then \
                 drains its work. {what_to_do}",
                shown(bound.member.as_str())
            );
            return Ok(());
        }
        let renewal = last.ttl.map_or(String::new(), |ttl| format!(" (by default within {})", short(ttl / 3)));
        let lasts = match (last.remaining, until(last)) {
            (Some(left), Some(until)) => format!("the lease lasts until {until:.0} ({} from now)", short(left)),
            _ => "nobody knows how long the lease lasts".to_owned(),
        };
        say!(
            "tenure: {held}, and was not seen to renew it meanwhile. Perhaps nobody is there any more, as with a lease that \
             `tenure run --hold-for` has left: {lasts}. A holder that is there learns of the request with its next \
             renewal{renewal}, and then drains its work. {what_to_do}"
        );
        Ok(())
    }

    fn nobody(&self) -> Result<anyhow::Error> {
        tell_nothing_done(self.key, self.args, None)?;
        Ok(anyhow!("nobody holds {}, so there is nobody to ask", shown(self.key.as_str())))
    }

    fn cannot_be_asked(&self, was: &LeaseRecord) -> anyhow::Error {
        let by = match was.format {
            RecordFormat::Foreign => foreign::ANOTHER_PROGRAM.to_owned(),
            RecordFormat::Tenure(format) => format!("a version of tenure that writes records of format {format}"),
        };
        anyhow!(
            "{} is held by {by} ({}), which cannot be asked: stop that program, or take the lease away with --force",
            shown(self.key.as_str()),
            visible(was.holder.as_str())
        )
    }
}

fn is_same(one: &LeaseRecord, other: &LeaseRecord) -> bool {
    (one.nonce, one.term, &one.holder, one.format) == (other.nonce, other.term, &other.holder, other.format)
}

/// Prints the JSON object of a request that changed nothing: nobody holds the key, or its holder cannot be asked.
fn tell_nothing_done(key: &LeaseKey, args: &Args, held: Option<&LeaseRecord>) -> Result<()> {
    if !args.json {
        return Ok(());
    }
    let mut object = json!({
        "key": key.as_str(), "over": false, "was": held.map(who), "now": held.map(who), "after_ms": 0
    });
    if args.force {
        object["removed"] = false.into();
        object["bound_to"] = Value::Null;
        object["may_act_ms"] = Value::Null;
        object["may_act_until"] = Value::Null;
    }
    Ok(output::line(object)?)
}

/// The wall-clock time at which the lease ends, by this machine's clock.
fn until(record: &LeaseRecord) -> Option<jiff::Timestamp> {
    record.remaining.and_then(|left| jiff::Timestamp::now().checked_add(left).ok())
}

fn who(record: &LeaseRecord) -> Value {
    json!({ "holder": record.holder.as_str(), "term": record.term.map(Term::get) })
}

fn name(record: &LeaseRecord) -> String {
    let holder = visible(record.holder.as_str());
    match record.term {
        Some(term) => format!("{holder} (term {term})"),
        None if foreign::is_unnamed(&record.holder) => holder,
        None => format!("{holder} ({})", foreign::ANOTHER_PROGRAM),
    }
}

fn shown(text: &str) -> String {
    visible(text)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
