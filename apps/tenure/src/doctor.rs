//! `tenure doctor`: checks the machine, the environment, the store and the bus, and says how to mend what is wrong.

mod bus;
mod documents;
mod environment;
mod file;
mod finding;
mod machine;
mod processes;
mod server;
mod settings;
mod store;

use std::process::ExitCode;

use anyhow::Result;

use crate::output;
use crate::store::{StoreArgs, block_on};
use finding::{Finding, Severity};

/// Flags of `tenure doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line is ok, warn or fail, and says how to mend what is not ok. The exit code is 0 where \
nothing failed, else 1. The store is tried for real: a probe lease under tenure-doctor/ is \
claimed, renewed, watched and released, on a server a document is made there and deleted, and \
nothing else is touched. The server is asked for its version, its clock, and settings that \
weaken the guarantee. Which store that is, and where it was named (a flag, the environment, a \
file), is said first. A server that was just started grants none at first: that is waited for.

With --json one object a line: check, status, text, remedy (null where there is nothing to mend).

Examples:
  tenure doctor
  tenure doctor -s redis://db.internal:6379 --bus sqlite:/var/lib/tenure/bus.db
  tenure doctor --json | jq -r 'select(.status != \"ok\") | .remedy'")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Bus to look at too [env: TENURE_BUS, MESSAGE_BUS_DRIVER with NATS_URL] [default: that of /etc/tenure/config.toml, else
    /// sqlite: in the state folder, where there is one]
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs every check and prints what it found; `command` is the whole of the program.
pub(crate) fn run(args: Args, command: clap::Command) -> Result<ExitCode> {
    let mut failed = false;
    let mut tell = |findings: Vec<Finding>| -> Result<()> {
        for finding in findings {
            failed |= finding.severity == Severity::Fail;
            output::line(if args.json { finding.json().to_string() } else { finding.to_string() })?;
        }
        Ok(())
    };
    tell(machine::check())?;
    tell(processes::check())?;
    tell(environment::check(std::env::vars_os(), command))?;
    let settings = settings::check(&args.store, args.bus.as_deref());
    // Without the settings it is not known which store and which bus are meant.
    let is_known = settings.iter().all(|finding| finding.severity != Severity::Fail);
    tell(settings)?;
    if is_known {
        tell(block_on(async { Ok(store::check(&args.store).await) })?)?;
        tell(block_on(async { Ok(bus::check(args.bus.as_deref()).await) })?)?;
    }
    if failed && !args.json {
        say!("tenure: something failed; each fail above says how to mend it");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
