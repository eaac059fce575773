//! No line of the project is outside the compiler's guarantees.

use super::rule::{Finding, Rule, Verdict};
use crate::lex::{code_only, words};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule { name: "unsafe", what: "the keyword unsafe is absent", check };

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (number, line) in (1..).zip(code_only(&file.text).lines()) {
            if words(line).any(|word| word == "unsafe") {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    "unsafe code: find a safe way, or a crate that has one",
                ));
            }
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keyword is found, the word in prose and the lint's name are not.
    #[test]
    fn unsafe_code_is_found() {
        assert!(matches!(check(&Tree::of(&[("a/src/b.rs", "fn f() { unsafe { g() } }")])), Verdict::Broken(_)));
        assert_eq!(check(&Tree::of(&[("a/src/b.rs", "#![forbid(unsafe_code)] // unsafe")])), Verdict::Kept);
    }
}
