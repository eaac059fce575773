//! The rules that hold for the source itself. One rule per file, each with a test that shows that it can fail.

mod arrows;
mod circles;
mod corpora;
mod dead_files;
mod header;
mod leaks;
mod leftovers;
mod length;
mod manifests;
mod mod_files;
pub(crate) mod old_words;
mod peers;
mod pure;
mod readme;
mod rule;
mod schemes;
mod store_shape;
mod unsafe_code;

use anyhow::Result;

pub(crate) use self::rule::{Rule, Verdict};
use crate::root;
use crate::tree::Tree;

/// Every rule.
pub(crate) const RULES: &[Rule] = &[
    arrows::RULE,
    circles::RULE,
    pure::RULE,
    peers::RULE,
    schemes::RULE,
    old_words::RULE,
    mod_files::RULE,
    header::RULE,
    length::RULE,
    dead_files::RULE,
    unsafe_code::RULE,
    leftovers::RULE,
    leaks::RULE,
    corpora::RULE,
    manifests::RULE,
    store_shape::RULE,
    readme::RULE,
];

/// A rule, and the verdict on it.
pub(crate) struct Checked {
    /// The rule.
    pub(crate) rule: &'static Rule,
    /// The verdict.
    pub(crate) outcome: Verdict,
}

/// Checks every rule.
///
/// # Errors
/// Where the tree cannot be read.
pub(crate) fn run() -> Result<Vec<Checked>> {
    let tree = Tree::read(&root::root())?;
    Ok(RULES.iter().map(|rule| Checked { rule, outcome: (rule.check)(&tree) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name twice would make the table ambiguous.
    #[test]
    fn rules_have_names_of_their_own() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
