//! A file holds one noun, and one noun fits 700 lines.

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule { name: "length", what: "a Rust file outside tests has at most 700 lines", check };

const MAX_LINES: usize = 700;

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.is_test()) {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            findings.push(Finding::new(
                &file.path,
                0,
                format!("{lines} lines: split it by noun (at most {MAX_LINES})"),
            ));
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line more than allowed is found; tests may be longer.
    #[test]
    fn a_long_file_is_found() {
        let (fits, long) = ("x\n".repeat(MAX_LINES), "x\n".repeat(MAX_LINES + 1));
        assert_eq!(check(&Tree::of(&[("a/src/b.rs", &fits), ("a/tests/b.rs", &long)])), Verdict::Kept);
        assert!(matches!(check(&Tree::of(&[("a/src/b.rs", &long)])), Verdict::Broken(_)));
    }
}
