//! The `tenure` command.

// Declared first, because the other modules use its macro.
#[macro_use]
mod output;

mod advertise;
mod bus;
mod check;
mod cli;
mod command_store;
mod completions;
mod config_file;
mod demo;
mod doctor;
mod exit;
mod fence;
mod hint;
mod host_settings;
mod http;
mod identity;
mod ingest;
mod key;
mod lease;
mod leases;
mod logs;
mod man;
mod places;
mod resign;
mod run;
mod service_manager;
mod signals;
mod store;
mod stores;
mod table;
mod tail;
mod timing;
mod wait;
mod warnings;
mod watch;
mod who;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use futures_util::FutureExt;

use cli::{Cli, Command};

/// How long the end may take that a SQLite file needs to be closed.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(1);

fn main() -> ExitCode {
    // With two TLS providers in one binary rustls would refuse to choose, so the process chooses one here.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        say!("tenure: a TLS provider was installed before the program began");
    }
    if let Some(outcome) = run::inner() {
        return outcome.unwrap_or_else(|error| exit::report(&error));
    }
    let arguments = match run::arguments(std::env::args_os().collect(), Cli::command) {
        Ok(arguments) => arguments,
        Err(error) => return exit::report(&error),
    };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // The user asked for help or the version; everything else is a usage error.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // If the terminal is closed, its failure cannot be reported anywhere.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { exit::USAGE });
        }
    };
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args),
        Command::Ingest(args) => ingest::run(args),
        Command::Tail(args) => tail::run(args).map(|()| ExitCode::SUCCESS),
        Command::TwitchSim(args) => twitch_sim(args),
        Command::Leases(args) => leases::run(args).map(|()| ExitCode::SUCCESS),
        Command::Who(args) => who::run(args),
        Command::Wait(args) => wait::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Lease(args) => lease::run(args),
        Command::Resign(args) => resign::run(args),
        Command::Fence(args) => fence::run(args),
        Command::Stores(args) => stores::run(args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => doctor::run(args, Cli::command()),
        Command::Completions(args) => completions::run(args, Cli::command()).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(args, Cli::command()).map(|()| ExitCode::SUCCESS),
    };
    let code = outcome.unwrap_or_else(|error| exit::report(&error));
    if !tenure_base_sqlite::wait_closed(CLOSING) {
        tracing::debug!("a SQLite file is not closed yet: its disk hangs");
    }
    code
}

fn twitch_sim(args: tenure_twitch_sim::Args) -> anyhow::Result<ExitCode> {
    logs::start("info", logs::Format::Auto, "tenure-twitch-sim");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(tenure_twitch_sim::run(args).boxed_local())?;
    Ok(ExitCode::SUCCESS)
}
