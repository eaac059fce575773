//! `tenure lease`: detached leases, for whoever cannot be a child of `tenure run`. Each call is one short process; what
//! it has to know is in the line that the call before it printed.

mod acquire;
mod clock;
mod detached_lease;
mod lease_file;
mod release;
mod renew;
mod source;
mod status;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use detached_lease::DetachedLease;

/// Flags of `tenure lease`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing runs between two calls: nobody renews but you, and nobody ends your work when the lease is over. So renew it in \
time, stop by its deadline, and have whatever you write to compare the term. `tenure run` does all of that for a command \
that it may start.

Example:
  file=$(mktemp)
  tenure lease acquire reports/nightly --out \"$file\" > /dev/null || exit
  ./first-half && tenure lease renew \"$file\" > /dev/null && ./second-half
  tenure lease release \"$file\"")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Acquire a lease and print it as one JSON line: exit 0, or 76 if somebody else holds it
    Acquire(acquire::Args),
    /// Renew the lease of a line and print the line anew: exit 0, or 75 if it is over
    Renew(renew::Args),
    /// Ask the store what has become of the lease of a line: exit 0 if it is held, 75 if not
    Status(status::Args),
    /// Release the lease of a line: exit 0, or 75 if it was over already
    Release(release::Args),
}

/// Runs `tenure lease`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Acquire(args) => acquire::run(args),
        Command::Renew(args) => renew::run(args),
        Command::Status(args) => status::run(args),
        Command::Release(args) => release::run(args),
    }
}
