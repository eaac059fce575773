//! Arrows point down only: each package may depend on those that its layer allows, and on no others of ours.

use std::collections::BTreeMap;

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "arrows",
    what: "packages depend downwards only: apps -> ingest -> tenure -> store -> core -> base, and chat the same way",
    check,
};

/// A folder (`stores/*` stands for each folder in it) and the folders that its packages may depend on.
///
/// Dependencies of tests may also point at the conformance suites and at the simulated Twitch, which nothing else but the
/// application ships.
const LAYERS: &[(&str, &[&str])] = &[
    // The ground floor: it knows nothing of leases and messages.
    ("base/time", &[]),
    ("base/net", &[]),
    ("base/google", &["base/time", "base/net", "base/http"]),
    ("base/etcd", &["base/net", "base/http"]),
    ("base/*", &["base/time", "base/net"]),
    // Leases.
    ("lease/core", &["base/time"]),
    ("lease/store", &["base/time", "base/net", "lease/core"]),
    ("lease/records", &["base/time", "lease/core", "lease/store"]),
    ("lease/supervise", &["base/time", "lease/core", "lease/store"]),
    ("lease/conformance", &["base/time", "lease/core", "lease/store"]),
    ("lease/sim", &["base/time", "lease/core", "lease/store", "lease/records"]),
    ("stores/open", &["base/*", "lease/core", "lease/store", "stores/*"]),
    ("stores/*", &["base/*", "lease/core", "lease/store", "lease/records"]),
    ("lease/tenure", &["base/time", "base/net", "lease/core", "lease/store", "lease/supervise"]),
    // Chat.
    ("chat/irc", &["base/time", "lease/core"]),
    ("chat/envelope", &["chat/irc"]),
    ("chat/bus", &["base/time", "base/net", "lease/core", "chat/envelope"]),
    ("chat/bus-conformance", &["base/time", "lease/core", "chat/envelope", "chat/bus"]),
    ("buses/open", &["base/*", "lease/core", "chat/envelope", "chat/bus", "buses/*"]),
    ("buses/*", &["base/*", "lease/core", "chat/envelope", "chat/bus"]),
    ("chat/twitch", &["base/time", "base/net", "lease/core", "chat/irc"]),
    ("chat/twitch-sim", &["base/time", "base/net", "chat/irc"]),
    (
        "chat/ingest",
        &[
            "base/time",
            "lease/core",
            "lease/store",
            "lease/tenure",
            "chat/irc",
            "chat/envelope",
            "chat/bus",
            "chat/twitch",
        ],
    ),
    // The programs know no store and no bus by name.
    (
        "apps/*",
        &[
            "base/*",
            "lease/core",
            "lease/store",
            "lease/supervise",
            "lease/tenure",
            "stores/open",
            "chat/*",
            "buses/open",
        ],
    ),
    ("benches", &["base/*", "lease/core", "lease/store", "lease/tenure", "stores/*", "chat/*", "buses/*", "testing/*"]),
    // A program that uses the library as its users do, over stores that it opens by URL.
    ("testing/faults", &["lease/tenure", "stores/open", "testing/servers"]),
    ("testing/*", &[]),
    ("examples", &["lease/store", "lease/tenure", "stores/*"]),
    ("xtask", &[]),
];

/// What tests may use besides; tests of the ground floor may use only the servers.
const FOR_TESTS: &[&str] =
    &["lease/conformance", "chat/bus-conformance", "chat/twitch-sim", "lease/store", "chat/irc", "testing/*"];

/// What tests of some layers may use besides: those above the stores a real store and a real bus, those of a store an
/// election over it.
const FOR_UPPER_TESTS: &[(&str, &[&str])] = &[
    ("lease/conformance", &["lease/sim"]),
    ("lease/sim", &["lease/conformance"]),
    ("lease/tenure", &["stores/*"]),
    ("stores/*", &["lease/tenure"]),
    ("chat/ingest", &["stores/*", "buses/*"]),
    ("apps/*", &["lease/conformance", "chat/*", "stores/*", "buses/*"]),
];

fn check(tree: &Tree) -> Verdict {
    let folders: BTreeMap<&str, &str> = tree
        .packages
        .iter()
        .filter_map(|package| Some((package["name"].as_str()?, package["folder"].as_str()?)))
        .collect();
    let mut findings = Vec::new();
    for package in &tree.packages {
        let folder = package["folder"].as_str().unwrap_or_default();
        let manifest = format!("{folder}/Cargo.toml");
        let Some((_, allowed)) = LAYERS.iter().find(|(pattern, _)| matches(pattern, folder)) else {
            findings.push(Finding::new(&manifest, 0, "has no layer: give its folder one in xtask/src/tidy/arrows.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            let Some(target) = folders.get(name).filter(|target| **target != folder) else { continue };
            let mut is_allowed = allowed.iter().any(|pattern| matches(pattern, target));
            if dependency["kind"] == "dev" {
                let upper = FOR_UPPER_TESTS.iter().find(|(pattern, _)| matches(pattern, folder));
                let further = FOR_TESTS.iter().chain(upper.into_iter().flat_map(|(_, patterns)| *patterns));
                let is_ground = matches("base/*", folder);
                is_allowed |= further
                    .into_iter()
                    .filter(|pattern| !is_ground || **pattern == "testing/*")
                    .any(|pattern| matches(pattern, target));
            }
            if !is_allowed {
                findings.push(Finding::new(
                    &manifest,
                    0,
                    format!("may not depend on {name} ({target}): it lies above or beside"),
                ));
            }
        }
    }
    Verdict::of(findings)
}

/// Whether a pattern matches a folder.
fn matches(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(parent) => folder.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')),
        None => pattern == folder,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(kind: Option<&str>, from: (&str, &str), to: (&str, &str)) -> Tree {
        let packages = vec![
            json!({"name": from.0, "folder": from.1, "dependencies": [{"name": to.0, "kind": kind}]}),
            json!({"name": to.0, "folder": to.1, "dependencies": []}),
        ];
        Tree { packages, ..Tree::default() }
    }

    /// A dependency on a lower layer is allowed; one on an upper or on the same layer is found.
    #[test]
    fn an_arrow_up_is_found() {
        let (core, store) = (("tenure-core", "lease/core"), ("tenure-store", "lease/store"));
        assert_eq!(check(&tree(None, store, core)), Verdict::Kept);
        assert!(matches!(check(&tree(None, core, store)), Verdict::Broken(_)));
        let (one, other) = (("tenure-sqlite", "stores/sqlite"), ("tenure-redis", "stores/redis"));
        assert!(matches!(check(&tree(None, one, other)), Verdict::Broken(_)));
    }

    /// Stores and buses may depend on base; base may depend on neither.
    #[test]
    fn base_is_the_ground_floor() {
        let (base, core) = (("tenure-base-sqlite", "base/sqlite"), ("tenure-core", "lease/core"));
        for upper in [("tenure-sqlite", "stores/sqlite"), ("tenure-bus-sqlite", "buses/sqlite")] {
            assert_eq!(check(&tree(None, upper, base)), Verdict::Kept);
        }
        assert!(matches!(check(&tree(None, base, core)), Verdict::Broken(_)));
        assert!(matches!(check(&tree(None, base, ("tenure-base-nats", "base/nats"))), Verdict::Broken(_)));
        assert_eq!(check(&tree(None, base, ("tenure-base-time", "base/time"))), Verdict::Kept);
        let store = ("tenure-store", "lease/store");
        assert!(matches!(check(&tree(Some("dev"), base, store)), Verdict::Broken(_)), "its tests neither");
    }

    /// The supervision of processes lies below the driver and knows no store by name; the pure core knows no files.
    #[test]
    fn every_floor_stands_on_those_below() {
        let (supervise, tenure) = (("tenure-supervise", "lease/supervise"), ("tenure", "lease/tenure"));
        assert_eq!(check(&tree(None, tenure, supervise)), Verdict::Kept);
        assert!(matches!(check(&tree(None, supervise, tenure)), Verdict::Broken(_)));
        assert!(matches!(check(&tree(None, supervise, ("tenure-sqlite", "stores/sqlite"))), Verdict::Broken(_)));
        let core = ("tenure-core", "lease/core");
        assert!(matches!(check(&tree(None, core, ("tenure-base-sqlite", "base/sqlite"))), Verdict::Broken(_)));
        let (open, bus) = (("tenure-open-bus", "buses/open"), ("tenure-bus-nats", "buses/nats"));
        assert_eq!(check(&tree(None, open, bus)), Verdict::Kept);
        assert!(matches!(check(&tree(None, bus, open)), Verdict::Broken(_)));
    }

    /// An application opens stores and buses by URL; its tests may look into one.
    #[test]
    fn an_application_knows_no_store_by_name() {
        let (app, bus) = (("tenure-cli", "apps/tenure"), ("tenure-bus-sqlite", "buses/sqlite"));
        assert_eq!(check(&tree(None, app, ("tenure-open", "stores/open"))), Verdict::Kept);
        assert!(matches!(check(&tree(None, app, ("tenure-redis", "stores/redis"))), Verdict::Broken(_)));
        assert!(matches!(check(&tree(None, app, bus)), Verdict::Broken(_)));
        assert_eq!(check(&tree(Some("dev"), app, bus)), Verdict::Kept);
    }

    /// A suite is for tests: the same arrow is refused where it would be shipped.
    #[test]
    fn a_suite_is_for_tests_only() {
        let (store, suite) = (("tenure-sqlite", "stores/sqlite"), ("tenure-conformance", "lease/conformance"));
        assert_eq!(check(&tree(Some("dev"), store, suite)), Verdict::Kept);
        assert!(matches!(check(&tree(None, store, suite)), Verdict::Broken(_)));
    }

    /// A package outside the known folders is asked for its layer.
    #[test]
    fn a_package_without_a_layer_is_found() {
        let packages = vec![json!({"name": "x", "folder": "misc/x", "dependencies": []})];
        assert!(matches!(check(&Tree { packages, ..Tree::default() }), Verdict::Broken(_)));
    }
}
