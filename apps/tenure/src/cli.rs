//! The command line: what can be said, and the help that comes with it.

use clap::{Parser, Subcommand};

/// One owner for every piece of work, and proof of it.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, arg_required_else_help = true, propagate_version = true)]
#[command(after_help = "Start with `tenure demo`: the whole of it on this machine in a minute.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at work on this machine: three instances, a simulated Twitch, and their killers
    Demo(crate::demo::Args),
    /// Run a command while holding a lease: one at a time on all machines, hot standbys for the rest
    Run(crate::run::Args),
    /// Ask, in a command that `tenure run` started, whether its lease is still held: exit 0 if it is, 1 if not
    Check(crate::check::Args),
    /// Read Twitch chat and publish it to a bus: one leader, warm standbys, nothing lost, nothing twice
    Ingest(crate::ingest::Args),
    /// Print what is on a bus, one envelope a line
    Tail(crate::tail::Args),
    /// Run a simulated Twitch that can misbehave
    TwitchSim(tenure_twitch_sim::Args),
    /// List the leases that are held
    Leases(crate::leases::Args),
    /// Follow who gets and loses which lease
    Watch(crate::watch::Args),
    /// Ask the holder of a lease to give it up, or take it away
    Resign(crate::resign::Args),
    /// Ask what a fence would say of a term
    Fence(crate::fence::Args),
    /// List the stores and buses that are built into this binary
    Stores(crate::stores::Args),
    /// Find out what is wrong, and how to mend it
    Doctor(crate::doctor::Args),
    /// Print a completion script for a shell
    Completions(crate::completions::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The definition is consistent.
    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
