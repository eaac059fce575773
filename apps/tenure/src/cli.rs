//! The command line: all commands, with their help.

use clap::{Parser, Subcommand};

/// One owner for every piece of work, and proof of it.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, arg_required_else_help = true, propagate_version = true)]
#[command(after_help = "\
Start with `tenure demo`: the whole of it on this machine in a minute.

What holds for everybody on a host (store, bus, ttl, log, log_format) stands in /etc/tenure/config.toml, or for one user in \
~/.config/tenure/config.toml; TENURE_CONFIG=FILE stands for both, and TENURE_CONFIG= for none. `tenure doctor` says what is used.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at work on this machine: three instances, a simulated Twitch, and their killers
    Demo(crate::demo::Args),
    /// Run a command while holding a lease: one at a time on all machines that share the store, hot standbys for the rest
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
    /// Print who holds a lease: exit 0, or 1 if nobody does
    Who(crate::who::Args),
    /// Wait until nobody holds a lease
    Wait(crate::wait::Args),
    /// Follow who gets and loses which lease
    Watch(crate::watch::Args),
    /// Hold a lease without a process: acquire it, renew it, release it, from scripts and functions
    Lease(crate::lease::Args),
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
    /// Write manual pages
    Man(crate::man::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command as Definition, CommandFactory};

    /// The definition is consistent.
    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command below this one, with its whole name.
    fn commands(of: &Definition, name: &str) -> Vec<(String, Definition)> {
        let mut all = vec![(name.to_owned(), of.clone())];
        for command in of.get_subcommands() {
            all.extend(commands(command, &format!("{name} {}", command.get_name())));
        }
        all
    }

    /// Every command that takes a store has the same help for it, except the demo, which has a default of its own.
    #[test]
    fn stores_are_told_of_alike() {
        let mut told = std::collections::BTreeMap::<String, Vec<String>>::new();
        for (name, command) in commands(&Cli::command(), "tenure").into_iter().filter(|(name, _)| name != "tenure demo")
        {
            if let Some(store) = command.get_arguments().find(|flag| flag.get_long() == Some("store")) {
                let help = store.get_help().map(ToString::to_string).unwrap_or_default();
                told.entry(help.replace(" [env: TENURE_STORE]", "")).or_default().push(name);
            }
        }
        assert!(told.len() == 1 && told.values().all(|names| names.len() > 5), "{told:#?}");
    }

    /// No help has a line of more than 80 columns on a terminal that has as many. Lines are filled where a paragraph was written as one line, and where it
    /// was written as several, each is short enough to stay: a line that is broken again looks ragged.
    #[test]
    fn help_fits_the_terminal() {
        let mut wide = Vec::new();
        for (name, command) in commands(&Cli::command(), "tenure") {
            let help = command.clone().term_width(80).render_long_help().to_string();
            wide.extend(help.lines().filter(|line| line.chars().count() > 80).map(|line| format!("{name}: {line}")));
            let written = [command.get_after_help(), command.get_after_long_help(), command.get_before_help()];
            for text in written.into_iter().flatten().map(ToString::to_string) {
                let paragraphs = text.split("\n\n").filter(|paragraph| paragraph.contains('\n'));
                let lines = paragraphs.flat_map(str::lines).filter(|line| line.chars().count() > 80);
                wide.extend(lines.map(|line| format!("{name}, as written: {line}")));
            }
        }
        assert!(wide.is_empty(), "{wide:#?}");
    }
}
