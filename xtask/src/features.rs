//! Whether whoever chooses one store compiles nothing of the others: asks `cargo tree`, and builds nothing.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;

/// A store's feature, and the packages that come with it alone: its own, and its server's library.
struct Store {
    feature: &'static str,
    packages: &'static [&'static str],
}

const fn store(feature: &'static str, packages: &'static [&'static str]) -> Store {
    Store { feature, packages }
}

const STORES: &[Store] = &[
    store("etcd", &["tenure-etcd", "reqwest"]),
    store("firestore", &["tenure-firestore", "tenure-base-google", "google-cloud-auth", "reqwest"]),
    store("kubernetes", &["tenure-kubernetes", "kube", "kube-client"]),
    store("postgres", &["tenure-postgres", "tokio-postgres"]),
    store("redis", &["tenure-redis", "redis"]),
    store("sqlite", &["tenure-sqlite", "rusqlite"]),
];

/// Who can choose: the library's users, and those of the command. The command's buses need SQLite themselves.
const CHOOSERS: &[(&str, &[&str])] = &[("tenure-open", &[]), ("tenure-cli", &["rusqlite"])];

/// The features of all stores.
pub(crate) fn features() -> impl Iterator<Item = &'static str> {
    STORES.iter().map(|store| store.feature)
}

/// What is wrong, a line each; empty where every store alone brings itself and none of the others.
///
/// # Errors
/// Where `cargo tree` does not answer.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (package, needed) in CHOOSERS {
        for store in STORES {
            let listed = tree(package, store.feature)?;
            wrong.extend(strangers(&listed, store, needed).into_iter().map(|what| format!("{package}: {what}")));
        }
    }
    Ok(wrong)
}

/// How many trees [`check`] looks at.
pub(crate) fn count() -> u64 {
    (CHOOSERS.len() * STORES.len()) as u64
}

fn tree(package: &str, feature: &str) -> Result<String> {
    let mut command: Command = root::command("cargo");
    command.args(["tree", "--locked", "-p", package, "-e", "normal,build", "--prefix", "none", "--format", "{p}"]);
    command.args(["--no-default-features", "--features", feature]);
    let output = command.output().context("cargo tree cannot be started")?;
    if !output.status.success() {
        bail!("cargo tree -p {package} --features {feature}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is listed with this store and should not be, or is not listed and should be.
fn strangers(listed: &str, store: &Store, needed: &[&str]) -> Vec<String> {
    let found: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let feature = store.feature;
    let missing = store.packages.iter().filter(|package| !found.contains(*package));
    let missing = missing.map(|package| format!("the feature {feature} does not bring {package}"));
    let others = STORES.iter().flat_map(|other| other.packages).collect::<BTreeSet<_>>();
    let strange = others
        .into_iter()
        .filter(|package| found.contains(*package) && !store.packages.contains(package) && !needed.contains(package));
    let strange = strange.map(|package| format!("the feature {feature} alone compiles {package}, of another store"));
    missing.chain(strange).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of another store is told, and so is one of its own that is missing.
    #[test]
    fn strangers_are_told() {
        let redis = STORES.iter().find(|store| store.feature == "redis").unwrap();
        let own = "tenure-open v0.1.0 (/p)\ntenure-redis v0.1.0 (/p)\nredis v1.0.0\ntokio v1.0.0 (*)\n";
        assert!(strangers(own, redis, &[]).is_empty());
        let with = |more: &str| strangers(&format!("{own}{more}"), redis, &["rusqlite"]);
        assert!(with("rusqlite v0.1.0\n").is_empty(), "what is needed anyway");
        assert!(with("kube-client v5.0.0\n")[0].contains("compiles kube-client"));
        assert!(strangers("redis v1.0.0\n", redis, &[])[0].contains("does not bring tenure-redis"));
    }

    /// Every feature of the crate that knows all stores is looked at.
    #[test]
    fn every_feature_is_looked_at() {
        let manifest = std::fs::read_to_string(root::root().join("stores/open/Cargo.toml")).unwrap();
        let lines =
            manifest.lines().skip_while(|line| *line != "[features]").skip(1).take_while(|l| !l.starts_with('['));
        let named =
            lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim()).filter(|n| *n != "default");
        let named: BTreeSet<&str> = named.filter(|name| !name.starts_with('#')).collect();
        assert_eq!(named, features().collect());
    }
}
