//! Other clients are dependencies for measuring and for comparing, never for shipping.

use serde_json::Value;

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule =
    Rule { name: "peers", what: "other clients' crates are used by benches and by tests only", check };

const PEERS: &[&str] = &["rslock", "tmi", "twitch-irc"];

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for package in tree.packages.iter().filter(|package| package["folder"] != "benches") {
        let folder = package["folder"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            if dependency["kind"] == Value::Null && PEERS.contains(&name) {
                findings.push(Finding::new(&format!("{folder}/Cargo.toml"), 0, format!("ships the peer {name}")));
            }
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A peer is found as a shipped dependency, but not in tests and not in benches.
    #[test]
    fn a_shipped_peer_is_found() {
        let of = |folder: &str, kind: Value| {
            let packages = vec![json!({"folder": folder, "dependencies": [{"name": "tmi", "kind": kind}]})];
            check(&Tree { packages, ..Tree::default() })
        };
        assert!(matches!(of("chat/ingest", Value::Null), Verdict::Broken(_)));
        assert_eq!(of("chat/irc", "dev".into()), Verdict::Kept);
        assert_eq!(of("benches", Value::Null), Verdict::Kept);
    }
}
