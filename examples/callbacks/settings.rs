//! The settings of the component: flags and the environment, then a YAML file in the shape that controllers have, then
//! defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use serde::Deserialize;

use crate::component::Config;

/// A controller of which one replica acts.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// YAML file with the section controller.leader_election, such as examples/controller.yaml; flags take precedence
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Store of the lease [default: sqlite: in the temporary folder]
    #[arg(long, env = "TENURE_STORE")]
    store: Option<String>,
    /// This replica's name, such as its pod's [default: host, process id and a random suffix]
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Name of the lease [default: my-app-leader]
    #[arg(long)]
    lease_name: Option<String>,
    /// Namespace of the lease [default: default]
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// How long others wait for a leader that has vanished [default: 15s]
    #[arg(long, value_parser = duration)]
    lease_duration: Option<Duration>,
    /// How long a leader acts without an answered renewal [default: 10s]
    #[arg(long, value_parser = duration)]
    renew_deadline: Option<Duration>,
    /// How often a leader renews, and a candidate tries [default: 2s]
    #[arg(long, value_parser = duration)]
    retry_period: Option<Duration>,
    /// Release the lease once the work has ended, rather than let it run out [default: true]
    #[arg(long, action = clap::ArgAction::Set)]
    release_on_cancel: Option<bool>,
    /// Lead without an election, as the only replica
    #[arg(long)]
    no_election: bool,
    /// Where to answer /debug/vars and /metrics
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
}

/// What this replica was told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) store: String,
    pub(crate) http: SocketAddr,
    pub(crate) component: Config,
}

/// The file. Keys that nobody reads are refused: they are mistyped, or meant for somebody else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    controller: Controller,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Controller {
    #[serde(default)]
    leader_election: LeaderElection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaderElection {
    enabled: Option<bool>,
    identity: Option<String>,
    lease_name: Option<String>,
    lease_namespace: Option<String>,
    lease_duration: Option<String>,
    renew_deadline: Option<String>,
    retry_period: Option<String>,
    release_on_cancel: Option<bool>,
}

impl Settings {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn new(args: Args) -> Result<Settings> {
        let default = Config::default();
        let (file, named) = match &args.config {
            Some(path) => (read(path)?, path.display().to_string()),
            None => (LeaderElection::default(), String::new()),
        };
        let span = |flag: Option<Duration>, key: &str, text: Option<String>, default: Duration| {
            let from_file = || text.map(|text| duration(&text).map_err(|why| anyhow!("{named}: {key}: {why}")));
            flag.map(Ok).or_else(from_file).unwrap_or(Ok(default))
        };
        let store = args.store.unwrap_or_else(tenure_examples::default_store);
        // In Kubernetes the lease is the Lease of that name in that namespace; other stores have it in the key.
        let of_store = tenure_open::namespace_of(&store).map(str::to_owned);
        let within_namespace = of_store.is_some();
        let named = args.lease_namespace.or(file.lease_namespace).or(of_store.filter(|name| !name.is_empty()));
        let lease_namespace = named.unwrap_or(default.lease_namespace);
        let store = tenure_open::in_namespace(&store, &lease_namespace);
        let component = Config {
            within_namespace,
            enabled: !args.no_election && file.enabled.unwrap_or(default.enabled),
            identity: args.identity.or(file.identity).unwrap_or(default.identity),
            lease_name: args.lease_name.or(file.lease_name).unwrap_or(default.lease_name),
            lease_namespace,
            lease_duration: span(args.lease_duration, "lease_duration", file.lease_duration, default.lease_duration)?,
            renew_deadline: span(args.renew_deadline, "renew_deadline", file.renew_deadline, default.renew_deadline)?,
            retry_period: span(args.retry_period, "retry_period", file.retry_period, default.retry_period)?,
            release_on_cancel: args.release_on_cancel.or(file.release_on_cancel).unwrap_or(default.release_on_cancel),
        };
        Ok(Settings { store, http: args.http, component })
    }
}

fn read(path: &Path) -> Result<LeaderElection> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))
}

/// Reads the section; the error says in one line what is wrong, and where.
fn parse(text: &str) -> Result<LeaderElection, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map(|file: File| file.controller.leader_election)
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    parsed
        .ok()
        .and_then(|span| Duration::try_from(span).ok())
        .ok_or_else(|| format!("{text:?} is not a duration: write it with a unit, as 15s, 500ms or 1m30s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str, flags: &[&str]) -> Result<Settings> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), yaml)?;
        let path = file.path().display().to_string();
        Settings::new(Args::try_parse_from(["callbacks", "--config", path.as_str()].iter().chain(flags))?)
    }

    /// The usual document is read; a flag goes before it; what it leaves out is as without it.
    #[test]
    fn the_usual_document_is_read() -> Result<()> {
        let yaml = include_str!("../controller.yaml");
        let Config { enabled, lease_name, lease_duration, renew_deadline, retry_period, .. } =
            settings(yaml, &[])?.component;
        assert_eq!((enabled, lease_name.as_str()), (true, "my-app-leader"));
        assert_eq!([lease_duration, renew_deadline, retry_period].map(|span| span.as_secs()), [60, 15, 5]);
        let settings = settings(yaml, &["--lease-duration", "30s", "--no-election"])?.component;
        assert_eq!((settings.lease_duration.as_secs(), settings.enabled), (30, false));
        assert_eq!((settings.lease_namespace.as_str(), settings.release_on_cancel), ("default", true));
        Ok(())
    }

    /// In a store with namespaces the lease's is the store's, whichever of the two is given, or none.
    #[test]
    fn the_namespace_is_that_of_the_store() -> Result<()> {
        let store = |flags: &[&str]| {
            let settings = settings("{}", flags)?;
            let Config { lease_namespace, within_namespace, .. } = settings.component;
            anyhow::Ok((settings.store, lease_namespace, within_namespace))
        };
        let of = |store: &str, namespace: &str, within| (store.to_owned(), namespace.to_owned(), within);
        assert_eq!(store(&["--store", "kubernetes:a"])?, of("kubernetes:a", "a", true));
        assert_eq!(store(&["--store", "kubernetes:"])?, of("kubernetes:default", "default", true));
        let given = ["--store", "kubernetes:?context=c", "--lease-namespace", "b"];
        assert_eq!(store(&given)?, of("kubernetes:b?context=c", "b", true));
        assert_eq!(store(&["--store", "memory:x", "--lease-namespace", "b"])?, of("memory:x", "b", false));
        Ok(())
    }

    /// What is wrong with a file is told in one line: the file, the key or the line, and how it is written.
    #[test]
    fn what_is_wrong_is_told_in_a_line() {
        let within = |line: &str| format!("controller:\n  leader_election:\n    {line}\n");
        for (yaml, words) in [
            (within("lease_durtion: \"60s\""), &["lease_durtion", "lease_duration", "line 3"][..]),
            (within("lease_duration: 60"), &["lease_duration: \"60\"", "with a unit", "15s"]),
            (within("retry_period: \"5 parsecs\""), &["retry_period: \"5 parsecs\"", "with a unit"]),
            (within("enabled: perhaps"), &["line 3"]),
            (within("enabled: true\n    enabled: false"), &["enabled", "line 4"]),
            ("controler: {}".to_owned(), &["controler", "controller", "line 1"]),
            ("controller:\n  leader_election: [".to_owned(), &["line"]),
        ] {
            let error = format!("{:#}", settings(&yaml, &[]).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{yaml}: {error}");
        }
        let error = format!("{:#}", read(Path::new("/no/such.yaml")).unwrap_err());
        assert!(error.contains("/no/such.yaml"), "{error}");
    }
}
