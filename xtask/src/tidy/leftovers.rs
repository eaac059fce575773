//! No unfinished code is left that shows only when it runs.

use super::rule::{Finding, Rule, Verdict};
use crate::lex::code_only;
use crate::tree::Tree;

pub(super) const RULE: Rule =
    Rule { name: "leftovers", what: "no todo!, unimplemented!, dbg! and no ignored tests", check };

const LEFT: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (number, line) in (1..).zip(code_only(&file.text).lines()) {
            for left in LEFT.iter().filter(|left| line.contains(**left)) {
                findings.push(Finding::new(&file.path, number, format!("{left}: finish it or take it out")));
            }
        }
    }
    Verdict::of(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of them is found; the word in a comment is not.
    #[test]
    fn leftovers_are_found() {
        for text in ["fn f() { todo!() }", "unimplemented!(\"x\")", "#[ignore]", "#[ignore = \"slow\"]", "dbg!(x)"] {
            assert!(matches!(check(&Tree::of(&[("a/src/b.rs", text)])), Verdict::Broken(_)), "{text}");
        }
        assert_eq!(check(&Tree::of(&[("a/src/b.rs", "// todo! is banned\nlet s = \"dbg!\";")])), Verdict::Kept);
    }
}
