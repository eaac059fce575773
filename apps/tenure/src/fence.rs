//! `tenure fence`: asks what a fence would say of a term.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde_json::json;
use tenure_core::{Fence, LeaseKey, LeaseRecord, RecordFormat, Term};
use tenure_store::foreign;

use crate::exit::{Exit, UNKNOWN};
use crate::output;
use crate::store::{self, StoreArgs};
use crate::table::visible;

/// Flags of `tenure fence`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Ask whether a term is the newest that is known of a lease: exit 0 if it is, 1 if not
    Check(CheckArgs),
}

/// Flags of `tenure fence check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit 0: no newer tenure of the lease is known: the term equals or exceeds that of its last one, which may hold it or be \
over. Exit 1: there was a newer tenure, or another program holds the lease, whose writes carry no term. \
Exit 66: nothing is known of the \
lease, so nothing can be said of the term: it was never held, its term was forgotten, or the name is mistyped. \
Exit 69: the store gave no answer.

This is a look, not a fence: another tenure can begin between the answer and whatever is done next, and a store may \
forget the term of a lease that nobody has held for a week. What must hold has to be checked where the side effect \
happens, in the same step: keep the highest term that was seen beside the data, and refuse lower ones.

With --json one object: key, term, admitted, highest (null where no tenure is known), holder (null where nobody holds it).

A command that `tenure run` started asks the store of its own lease (TENURE_STORE, which it was handed).

Examples:
  in a command that `tenure run` started:
  tenure fence check && ./publish-report

  from elsewhere:
  tenure fence check myapp/leader 1763744400000000 --json")]
struct CheckArgs {
    /// Key of the lease, in place of --lease
    #[arg(value_name = "KEY", value_parser = store::parse_key)]
    key: Option<LeaseKey>,
    /// Term to ask for, in place of --term
    #[arg(value_name = "TERM", value_parser = parse_term)]
    number: Option<Term>,
    /// Key of the lease
    #[arg(long, short, value_name = "KEY", env = "TENURE_KEY", value_parser = store::parse_key)]
    lease: Option<LeaseKey>,
    /// Term to ask for
    #[arg(long, value_name = "N", env = "TENURE_TERM", value_parser = parse_term)]
    term: Option<Term>,
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `tenure fence`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let Command::Check(args) = args.command;
    store::block_on(check(args))
}

async fn check(args: CheckArgs) -> Result<ExitCode> {
    let missing = |what: &str| {
        Exit::usage(anyhow!(
            "no {what} is given: tenure fence check KEY TERM, or from within a command that `tenure run` started"
        ))
    };
    let lease = args.key.or(args.lease).ok_or_else(|| missing("key"))?;
    let term = args.number.or(args.term).ok_or_else(|| missing("term"))?;
    // A mistyped path must not admit every term.
    let Some(store) = args.store.open_to_read().await? else {
        return Err(Exit::unreachable(anyhow!("{}", args.store.missing())));
    };
    let record = store::record(&*store, &lease).await.map_err(Exit::unreachable)?;
    // Read after the record, so that it is no older than the record.
    let last = store::answer(store.last_term(&lease)).await.map_err(Exit::unreachable)?;
    let highest = last.max(record.as_ref().and_then(|record| record.term));
    let verdict = judge(term, record.as_ref(), highest);
    if args.json {
        output::line(json!({
            "key": lease.as_str(),
            "term": term.get(),
            "admitted": verdict.code == ADMITTED,
            "highest": highest.map(Term::get),
            "holder": record.as_ref().map(|record| record.holder.as_str()),
        }))?;
    } else {
        output::line(&verdict.words)?;
    }
    Ok(ExitCode::from(verdict.code))
}

/// The exit codes of the verdicts.
const ADMITTED: u8 = 0;
const REFUSED: u8 = 1;

struct FenceVerdict {
    code: u8,
    words: String,
}

/// `highest` is the term of the lease's last tenure as far as the store knows it, and at least that of the record.
fn judge(term: Term, record: Option<&LeaseRecord>, highest: Option<Term>) -> FenceVerdict {
    let holder = record.map_or_else(String::new, |record| visible(record.holder.as_str()));
    if let Some(record) = record
        && record.term.is_none()
    {
        let why = match record.format {
            RecordFormat::Foreign => foreign::ANOTHER_PROGRAM,
            RecordFormat::Tenure(_) => "a holder without a term",
        };
        let words = format!("refused: the lease is held by {why}, {holder}: the tenure of term {term} is over");
        return FenceVerdict { code: REFUSED, words };
    }
    let Some(highest) = highest else {
        let words = format!(
            "refused: nothing is known of the lease, so nothing can be said of term {term}; is it this store, and this name?"
        );
        return FenceVerdict { code: UNKNOWN, words };
    };
    let is_held = record.is_some_and(|record| record.term == Some(highest));
    let admitted = Fence::above(Some(highest)).admit(term).is_ok();
    let words = match (admitted, is_held) {
        (true, true) if term == highest => format!("admitted: {holder} holds the lease under term {term}"),
        (true, true) => {
            format!("admitted: term {term} is newer than term {highest}, under which {holder} holds the lease")
        }
        (true, false) if term == highest => format!("admitted: term {term} is that of the last tenure, which is over"),
        (true, false) => format!("admitted: term {term} is newer than that of the last tenure, {highest}"),
        (false, true) => format!("refused: term {term} is stale: {holder} holds the lease under term {highest}"),
        (false, false) => format!("refused: term {term} is stale: the last tenure had term {highest}"),
    };
    FenceVerdict { code: if admitted { ADMITTED } else { REFUSED }, words }
}

/// Parses a term.
pub(crate) fn parse_term(text: &str) -> Result<Term, String> {
    let term = text.parse().ok().and_then(Term::new);
    term.ok_or_else(|| format!("{text:?} is not a term: terms are whole numbers from 1 to {}", Term::LIMIT - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::tests::lease;

    fn admitted(term: u64, record: Option<&LeaseRecord>, highest: u64) -> bool {
        judge(Term::new(term).unwrap(), record, Term::new(highest)).code == ADMITTED
    }

    /// Lower refused, equal and higher admitted, whether the last tenure holds the lease or is over; of a key that nobody
    /// has held nothing is known, and one that another program holds admits nothing.
    #[test]
    fn the_answer_is_that_of_a_fence() {
        let held = lease("k", "me", 10, 1_000);
        for record in [Some(&held), None] {
            assert!(!admitted(9, record, 10) && admitted(10, record, 10) && admitted(11, record, 10));
        }
        assert!(!admitted(10, Some(&held), 11), "a tenure began after the record was read");
        assert_eq!(judge(Term::new(1).unwrap(), None, None).code, UNKNOWN);
        let foreign = LeaseRecord { term: None, nonce: None, format: RecordFormat::Foreign, ..held };
        assert!(!admitted(10, Some(&foreign), 0) && !admitted(10, Some(&foreign), 9));
    }

    /// A text that cannot be a term is a usage error.
    #[test]
    fn terms_have_bounds() {
        assert!(parse_term("0").is_err() && parse_term("4503599627370496").is_err() && parse_term("x").is_err());
        assert!(parse_term("1763744400000000").is_ok());
    }
}
