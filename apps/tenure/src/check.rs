//! `tenure check`: says whether the calling command's lease is still held. Reads a file and a clock, no network.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use tenure_supervise::StatusLine;

use crate::exit::Exit;
use crate::lease::DetachedLease;

/// Flags of `tenure check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit 0: the tenure that `tenure run` started this command in is current. Exit 1: it is not, or \
not any more, or cannot be told as this is another time namespace. 64: there is no TENURE_STATUS_FILE, so this is no such command. Nothing is printed \
unless asked for.

The file's one line can be read without this command too: the term, the deadline in nanoseconds \
of CLOCK_BOOTTIME, and the number of the time namespace that this is counted in \
(readlink /proc/self/ns/time). The file that `tenure lease acquire --out` wrote is understood as well.

Example, in a script under `tenure run`:
  tenure check && ./publish-report")]
pub(crate) struct Args {
    /// File to read
    #[arg(long, value_name = "FILE", env = "TENURE_STATUS_FILE")]
    status_file: Option<PathBuf>,
    /// Term that must be the current one
    #[arg(long, value_name = "N", env = "TENURE_TERM")]
    term: Option<u64>,
    /// Print how long the tenure lasts if no renewal comes
    #[arg(long, short)]
    verbose: bool,
}

/// Runs `tenure check`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let file = args.status_file.filter(|file| !file.as_os_str().is_empty()).ok_or_else(|| {
        Exit::usage(anyhow!("TENURE_STATUS_FILE is not set: only a command that `tenure run` started can ask"))
    })?;
    let line = match std::fs::read_to_string(&file) {
        Ok(line) => line,
        // Without the file the tenure is over, or never began.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ExitCode::FAILURE),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    if line.starts_with('{') {
        return detached(&line, args.term, args.verbose).with_context(|| file.display().to_string());
    }
    let status = StatusLine::parse(&line).with_context(|| format!("{}: not a status file", file.display()))?;
    if !status.is_of_this_clock() {
        say!(
            "tenure: {} was written in another time namespace, whose clock is not this one: ask outside of the namespace, for \
             here nobody can tell whether the tenure is current",
            file.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    let StatusLine { term, deadline, .. } = status;
    let left = deadline.since(tenure::now());
    let current = !left.is_zero() && args.term.is_none_or(|expected| expected == term);
    answer(term, left, current, args.verbose)
}

/// The file is that of a detached lease.
fn detached(line: &str, term: Option<u64>, verbose: bool) -> Result<ExitCode> {
    let lease = DetachedLease::parse(line)?;
    if !lease.is_of_this_clock() {
        say!(
            "tenure: the line was written in another boot or time namespace, whose clock is not this one: \
             `tenure lease status` asks the store"
        );
    }
    let (left, own) = (lease.remaining(), lease.term().get());
    let current = !left.is_zero() && term.is_none_or(|expected| expected == own);
    answer(own, left, current, verbose)
}

fn answer(term: u64, left: Duration, current: bool, verbose: bool) -> Result<ExitCode> {
    if verbose {
        crate::output::line(format_args!(
            "term {term}, {}",
            if current {
                format!("current for {}", tenure_base_net::durations::short(left))
            } else {
                "not current".to_owned()
            }
        ))?;
    }
    Ok(if current { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
