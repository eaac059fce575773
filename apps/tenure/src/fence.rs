//! `tenure fence`: asks what a fence would say of a term.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde_json::json;
use tenure_core::{Fence, LeaseKey, LeaseRecord, RecordFormat, Term};

use crate::exit::Exit;
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
Exit 0: no newer tenure of the lease is known: the term equals or exceeds that of whoever holds it, or nobody does. \
Exit 1: a newer tenure holds the lease, or another program, whose writes carry no term. \
Exit 69: the store gave no answer.

This is a look, not a fence: another tenure can begin between the answer and whatever is done next, and the terms of \
tenures that have ended are not shown by the store. What must hold has to be checked where the side effect happens, in \
the same step: keep the highest term that was seen beside the data, and refuse lower ones.

With --json one object: key, term, admitted, highest (null where nobody holds the lease), holder.

Examples:
  tenure fence check && ./publish-report                 in a command that `tenure run` started
  tenure fence check --lease myapp/leader --term 1763744400000000 --json")]
struct CheckArgs {
    /// Key of the lease
    #[arg(long, value_name = "KEY", env = "TENURE_KEY", value_parser = store::parse_key)]
    lease: LeaseKey,
    /// Term to ask for
    #[arg(long, value_name = "N", env = "TENURE_TERM", value_parser = parse_term)]
    term: Term,
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
    // A path that is mistyped must not let everything through.
    let Some(store) = args.store.open_existing().await? else {
        return Err(Exit::unreachable(anyhow!("{}", args.store.missing())));
    };
    let record = store::record(&*store, &args.lease).await.map_err(Exit::unreachable)?;
    let verdict = judge(args.term, record.as_ref());
    if args.json {
        output::line(json!({
            "key": args.lease.as_str(),
            "term": args.term.get(),
            "admitted": verdict.admitted,
            "highest": record.as_ref().and_then(|record| record.term).map(Term::get),
            "holder": record.as_ref().map(|record| record.holder.as_str()),
        }))?;
    } else {
        output::line(&verdict.words)?;
    }
    Ok(if verdict.admitted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Verdict {
    admitted: bool,
    words: String,
}

fn judge(term: Term, record: Option<&LeaseRecord>) -> Verdict {
    let Some(record) = record else {
        let words = format!("admitted: nobody holds the lease, so no tenure newer than term {term} is known");
        return Verdict { admitted: true, words };
    };
    let holder = visible(record.holder.as_str());
    let Some(held) = record.term else {
        let why = match record.format {
            RecordFormat::Foreign => "another program",
            RecordFormat::Tenure(_) => "a holder without a term",
        };
        let words = format!("refused: the lease is held by {why}, {holder}: the tenure of term {term} is over");
        return Verdict { admitted: false, words };
    };
    match Fence::above(Some(held)).admit(term) {
        Ok(()) if term == held => {
            Verdict { admitted: true, words: format!("admitted: {holder} holds the lease under term {term}") }
        }
        Ok(()) => Verdict {
            admitted: true,
            words: format!("admitted: term {term} is newer than term {held}, under which {holder} holds the lease"),
        },
        Err(_) => Verdict {
            admitted: false,
            words: format!("refused: term {term} is stale: {holder} holds the lease under term {held}"),
        },
    }
}

fn parse_term(text: &str) -> Result<Term, String> {
    let term = text.parse().ok().and_then(Term::new);
    term.ok_or_else(|| format!("{text:?} is not a term: terms are whole numbers from 1 to {}", Term::LIMIT - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::tests::lease;

    fn admitted(term: u64, record: Option<&LeaseRecord>) -> bool {
        judge(Term::new(term).unwrap(), record).admitted
    }

    /// Lower refused, equal and higher admitted; a key that nobody holds admits, one of another program does not.
    #[test]
    fn the_answer_is_that_of_a_fence() {
        let held = lease("k", "me", 10, 1_000);
        assert!(!admitted(9, Some(&held)) && admitted(10, Some(&held)) && admitted(11, Some(&held)));
        assert!(admitted(1, None));
        let foreign = LeaseRecord { term: None, nonce: None, format: RecordFormat::Foreign, ..held };
        assert!(!admitted(10, Some(&foreign)));
    }

    /// What can be no term is refused as a wrong call.
    #[test]
    fn terms_have_bounds() {
        assert!(parse_term("0").is_err() && parse_term("4503599627370496").is_err() && parse_term("x").is_err());
        assert!(parse_term("1763744400000000").is_ok());
    }
}
