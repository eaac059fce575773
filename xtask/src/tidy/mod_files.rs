//! A module's file bears the module's name.

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule { name: "mod files", what: "no mod.rs: foo.rs stands beside the folder foo", check };

fn check(tree: &Tree) -> Verdict {
    let named_mod = tree.rust().filter(|file| file.path.ends_with("/mod.rs"));
    Verdict::of(named_mod.map(|file| Finding::new(&file.path, 0, "rename it after its folder, one level up")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The old name is found, the new one is not.
    #[test]
    fn a_mod_file_is_found() {
        assert!(matches!(check(&Tree::of(&[("a/src/b/mod.rs", "")])), Verdict::Broken(_)));
        assert_eq!(check(&Tree::of(&[("a/src/b.rs", "")])), Verdict::Kept);
    }
}
