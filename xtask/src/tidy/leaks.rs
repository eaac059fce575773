//! The project speaks of itself alone: it names no machine that it was written on, no place from which its dependencies
//! are fetched, and no papers that its readers do not have.

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "leaks",
    what: "no paths of a machine, no hosts of package registries and no papers from elsewhere, lock files apart",
    check,
};

/// The texts that no file may hold. Each is written in two parts, so that this file passes its own rule.
const LEAKS: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/tmp/ba", "sh_jobs"),
    ("crates", ".io"),
    ("npm", "js"),
    ("py", "pi."),
    ("deb.de", "bian.org"),
    ("registry", ".npm"),
    ("static.rust", "-lang.org"),
    ("DES", "IGN"),
    ("seed ", "00"),
    ("seeds ", "00"),
    ("seed", "00"),
];

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_lock(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for (first, second) in LEAKS {
                let leak = format!("{first}{second}");
                if line.contains(&leak) {
                    findings.push(Finding::new(&file.path, number, format!("names {leak}")));
                }
            }
        }
    }
    Verdict::of(findings)
}

fn is_lock(path: &str) -> bool {
    path.ends_with("Cargo.lock") || path.ends_with("package-lock.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of them is found in any file but a lock file.
    #[test]
    fn leaks_are_found() {
        for (first, second) in LEAKS {
            let text = format!("see {first}{second}3\n");
            assert!(matches!(check(&Tree::of(&[("README.md", &text)])), Verdict::Broken(_)), "{text}");
            assert_eq!(check(&Tree::of(&[("Cargo.lock", &text)])), Verdict::Kept);
        }
        assert_eq!(check(&Tree::of(&[("README.md", "work/ at home/, designed for seed 100")])), Verdict::Kept);
    }
}
