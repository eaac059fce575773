//! Every file says in its first line what it is for.

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule { name: "header", what: "every Rust file begins with //! and a sentence", check };

/// A header with fewer characters than this, or of a single word, says nothing.
const MIN_CHARS: usize = 12;

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let said = file.text.lines().next().and_then(|line| line.strip_prefix("//! ")).unwrap_or_default();
        if said.len() < MIN_CHARS || !said.trim().contains(' ') {
            findings.push(Finding::new(&file.path, 1, "begin with //! and a sentence that says what the file is for"));
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing, a plain comment and a bare name are all found.
    #[test]
    fn a_file_that_does_not_introduce_itself_is_found() {
        for text in ["fn main() {}", "// What this is for, at length.", "//! tenure-irc"] {
            assert!(matches!(check(&Tree::of(&[("a/src/b.rs", text)])), Verdict::Broken(_)), "{text}");
        }
        assert_eq!(check(&Tree::of(&[("a/src/b.rs", "//! What this file is for.")])), Verdict::Kept);
    }
}
