//! The environment's `TENURE_*` names: one that nobody reads is most likely mistyped.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory;

use super::finding::Finding;
use crate::cli::Cli;
use crate::ingest::settings::SETTINGS;

/// Names that no flag has: what commands are told by `tenure run`, what processes of the project tell each other, and
/// what its tests read.
const OTHERS: &[&str] = &[
    "TENURE_KEY",
    "TENURE_TERM",
    "TENURE_HOLDER",
    "TENURE_STATUS_FILE",
    "TENURE_EVENT",
    "TENURE_REASON",
    "TENURE_SUPERVISED",
    "TENURE_SUPERVISED_INSTANCE",
    "TENURE_TIED_TO_STDIN",
    "TENURE_CORPORA",
    "TENURE_SERVERS",
];

/// Looks at the names; values may be secrets and are neither read nor shown.
pub(super) fn check(environment: impl Iterator<Item = (OsString, OsString)>) -> Vec<Finding> {
    let known = known();
    let names: Vec<String> = environment
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("TENURE_"))
        .collect();
    let unknown: Vec<Finding> =
        names.iter().filter(|name| !known.contains(name.as_str())).map(|name| mistyped(name, &known)).collect();
    if !unknown.is_empty() {
        return unknown;
    }
    vec![Finding::ok(
        "environment",
        match names.len() {
            0 => "no TENURE_ variable is set".to_owned(),
            count => format!("{count} TENURE_ variables are set, and each of them is known"),
        },
    )]
}

fn mistyped(name: &str, known: &BTreeSet<String>) -> Finding {
    let near =
        known.iter().max_by(|one, other| strsim::jaro_winkler(name, one).total_cmp(&strsim::jaro_winkler(name, other)));
    // Every name begins alike; what follows must be near.
    let tail = |name: &str| name.trim_start_matches("TENURE_").to_owned();
    let near = near.filter(|near| strsim::jaro_winkler(&tail(name), &tail(near)) > 0.8);
    let remedy = match near {
        Some(near) => format!("did you mean {near}?"),
        None => "unset it, or see `--help` of each command for the names that are read".to_owned(),
    };
    Finding::warn("environment", format!("nobody reads {name}"), remedy)
}

/// Every name that a flag of any command takes, every setting's, and the others.
fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    known.extend(SETTINGS.iter().map(|setting| setting.env.to_owned()));
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
        commands.extend(command.get_subcommands().cloned());
    }
    known.retain(|name| name.starts_with("TENURE_"));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<Finding> {
        check(names.iter().map(|name| (OsString::from(name), OsString::from("hunter2"))))
    }

    /// A mistyped name is told with the one that was meant; the value is not.
    #[test]
    fn mistyped_names_are_told_with_the_nearest() {
        let findings = found(&["TENURE_STOER", "TENURE_STORE", "PATH"]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].text.contains("TENURE_STOER") && !findings[0].text.contains("hunter2"));
        assert_eq!(findings[0].remedy.as_deref(), Some("did you mean TENURE_STORE?"));
        assert!(!found(&["TENURE_ZEBRA_9"])[0].remedy.as_deref().unwrap().contains("did you mean"));
    }

    /// Names of flags, of settings and of commands' own environment are known.
    #[test]
    fn known_names_are_no_finding() {
        let names = ["TENURE_BUS", "TENURE_TTL", "TENURE_KEY", "TENURE_STATUS_FILE", "TENURE_IRC_URL"];
        let findings = found(&names);
        assert_eq!((findings.len(), findings[0].text.contains("5 TENURE_")), (1, true), "{findings:?}");
    }
}
