//! Every crate says what it is and takes the workspace's lints.

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule =
    Rule { name: "manifests", what: "every Cargo.toml has a description and takes the workspace's lints", check };

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let mut lines = file.text.lines().map(str::trim);
        let says = |line: &str| line.strip_prefix("description = \"").is_some_and(|rest| rest.len() > 1);
        if !lines.clone().any(says) {
            findings.push(Finding::new(&file.path, 0, "has no description"));
        }
        let takes_lints = lines.by_ref().any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
        if !takes_lints {
            findings.push(Finding::new(&file.path, 0, "does not take the lints: [lints] workspace = true"));
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty description and lints of its own are found.
    #[test]
    fn a_poor_manifest_is_found() {
        let of = |text: &str| check(&Tree::of(&[("a/Cargo.toml", text)]));
        assert_eq!(of("description = \"What it is\"\n[lints]\nworkspace = true\n"), Verdict::Kept);
        assert!(matches!(of("description = \"\"\n[lints]\nworkspace = true\n"), Verdict::Broken(_)));
        assert!(matches!(of("description = \"What it is\"\n[lints.rust]\n"), Verdict::Broken(_)));
    }
}
