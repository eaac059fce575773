//! Checks the `TENURE_*` names of the environment: a name that nothing reads is most likely mistyped.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::finding::Finding;
use crate::ingest::settings::SETTINGS;

/// Names that no flag has: names that stores read, that `tenure run` sets for its command, that the project's processes
/// pass to each other, and that its tests and scripts read.
const OTHERS: &[&str] = &[
    "TENURE_REDIS_USER",
    "TENURE_REDIS_USER_FILE",
    "TENURE_REDIS_PASSWORD",
    "TENURE_REDIS_PASSWORD_FILE",
    "TENURE_REDIS_SENTINEL_USER",
    "TENURE_REDIS_SENTINEL_USER_FILE",
    "TENURE_REDIS_SENTINEL_PASSWORD",
    "TENURE_REDIS_SENTINEL_PASSWORD_FILE",
    "TENURE_ETCD_USER",
    "TENURE_ETCD_USER_FILE",
    "TENURE_ETCD_PASSWORD",
    "TENURE_ETCD_PASSWORD_FILE",
    "TENURE_POSTGRES_PASSWORD",
    "TENURE_POSTGRES_PASSWORD_FILE",
    "TENURE_CONFIG",
    "TENURE_KEY",
    "TENURE_TERM",
    "TENURE_HOLDER",
    "TENURE_STATUS_FILE",
    "TENURE_STORE_SECRET_FILE",
    "TENURE_EVENT",
    "TENURE_REASON",
    "TENURE_DETAIL",
    "TENURE_SUPERVISED",
    "TENURE_SUPERVISED_INSTANCE",
    "TENURE_TIED_TO_STDIN",
    "TENURE_CORPORA",
    "TENURE_SERVERS",
    "TENURE_CUT",
    "TENURE_TEST_OWN_MOUNTS",
    "TENURE_CUT_SECONDS",
    "TENURE_SEED",
    "TENURE_CASES",
    "TENURE_ROUNDS",
    "TENURE_RACE_SECONDS",
    "TENURE_FAULT_MINUTES",
    "TENURE_FAULT_ROUNDS",
    "TENURE_OTHER_BINARY",
    "TENURE_SOAK_SECONDS",
];

/// Checks the names of the variables; `command` says which of them flags take. Values may be secrets and are neither
/// read nor shown.
pub(super) fn check(environment: impl Iterator<Item = (OsString, OsString)>, command: clap::Command) -> Vec<Finding> {
    let known = known(command);
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
    // All names begin alike, so only the rest is compared.
    let tail = |name: &str| name.trim_start_matches("TENURE_").to_owned();
    let near = near.filter(|near| strsim::jaro_winkler(&tail(name), &tail(near)) > 0.8);
    let remedy = match near {
        Some(near) => format!("did you mean {near}?"),
        None => "unset it, or see `--help` of each command for the names that are read".to_owned(),
    };
    Finding::warn("environment", format!("nobody reads {name}"), remedy)
}

/// Every name that a flag of any command or a setting takes, and the others.
fn known(command: clap::Command) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    known.extend(SETTINGS.iter().map(|setting| setting.env.to_owned()));
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
        commands.extend(command.get_subcommands().cloned());
    }
    known.retain(|name| name.starts_with("TENURE_"));
    known
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn found(names: &[&str]) -> Vec<Finding> {
        check(names.iter().map(|name| (OsString::from(name), OsString::from("hunter2"))), Cli::command())
    }

    /// A finding about a mistyped name suggests the nearest known name, and does not show the value.
    #[test]
    fn mistyped_names_are_told_with_the_nearest() {
        let findings = found(&["TENURE_STOER", "TENURE_STORE", "PATH"]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].text.contains("TENURE_STOER") && !findings[0].text.contains("hunter2"));
        assert_eq!(findings[0].remedy.as_deref(), Some("did you mean TENURE_STORE?"));
        assert!(!found(&["TENURE_ZEBRA_9"])[0].remedy.as_deref().unwrap().contains("did you mean"));
    }

    /// Names that tests make up: mistakes, and names that a test passes to a process of its own.
    const MADE_UP: &[&str] = &["TENURE_STROE", "TENURE_BUS_TEST_", "TENURE_TEST_CHILD_"];

    /// Collects every name in the project's files, with one of the files that hold it.
    fn named(folder: &std::path::Path, names: &mut std::collections::BTreeMap<String, std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !["target", "node_modules", ".git"].iter().any(|skipped| path.ends_with(skipped)) {
                    named(&path, names);
                }
            } else if !path.ends_with(file!()) {
                // A file that is no text holds no name.
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                for (at, prefix) in text.match_indices("TENURE_") {
                    let rest = &text[at + prefix.len()..];
                    let end = rest.find(|letter: char| !matches!(letter, 'A'..='Z' | '0'..='9' | '_'));
                    let name = format!("{prefix}{}", &rest[..end.unwrap_or(rest.len())]);
                    // A text that ends in `_` is the beginning of many names.
                    if !name.ends_with('_') {
                        names.entry(name).or_insert_with(|| path.clone());
                    }
                }
            }
        }
    }

    /// Every name in sources, scripts and documents is known, and no name is listed here that they no longer hold. The
    /// name of a user or a password may also end in `_FILE`.
    #[test]
    fn every_name_of_the_project_is_known() {
        let mut names = std::collections::BTreeMap::new();
        named(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &mut names);
        let known = known(Cli::command());
        let unknown: Vec<_> = names
            .iter()
            .filter(|(name, _)| !known.contains(*name) && !MADE_UP.iter().any(|made_up| name.starts_with(made_up)))
            .collect();
        assert!(unknown.is_empty(), "take them up into OTHERS: {unknown:#?}");
        for name in OTHERS {
            let base = name.strip_suffix("_FILE").filter(|base| known.contains(*base)).unwrap_or(name);
            assert!(names.contains_key(base), "{name} stands nowhere else");
        }
        for secret in known.iter().filter(|name| name.ends_with("_PASSWORD") || name.ends_with("_USER")) {
            assert!(known.contains(&format!("{secret}_FILE")), "{secret}_FILE is missing");
        }
    }

    /// Names of flags, of settings and of commands' own environment are known.
    #[test]
    fn known_names_are_no_finding() {
        let names = ["TENURE_BUS", "TENURE_TTL", "TENURE_KEY", "TENURE_STATUS_FILE", "TENURE_IRC_URL"];
        let findings = found(&names);
        assert_eq!((findings.len(), findings[0].text.contains("5 TENURE_")), (1, true), "{findings:?}");
    }
}
