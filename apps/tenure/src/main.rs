//! The `tenure` command.

mod bus;
mod cli;
mod demo;
mod durations;
mod exit;
mod identity;
mod ingest;
mod logs;
mod output;
mod places;
mod secrets;
mod signals;
mod stores;
mod tail;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, everything else is a usage error.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // There is nowhere to report a closed terminal to.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { exit::USAGE });
        }
    };
    // Two TLS providers in one binary would make rustls refuse to choose; it is chosen here, once.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("tenure: a TLS provider was installed before the program began");
    }
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Ingest(args) => ingest::run(args),
        Command::Tail(args) => tail::run(args).map(|()| ExitCode::SUCCESS),
        Command::TwitchSim(args) => twitch_sim(args),
        Command::Stores(args) => stores::run(args).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| exit::report(&error))
}

fn twitch_sim(args: tenure_twitch_sim::Args) -> anyhow::Result<ExitCode> {
    logs::start("info", logs::Format::Auto, "tenure-twitch-sim");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(tenure_twitch_sim::run(args))?;
    Ok(ExitCode::SUCCESS)
}
