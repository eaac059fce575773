//! Every store's folder has the same files, so that whoever knows one knows them all.

use std::collections::BTreeSet;

use super::rule::{Finding, Rule, Verdict};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "store shape",
    what: "every store has lib.rs, config.rs, store.rs and watch.rs or records.rs, and a tests/conformance.rs that is one test",
    check,
};

const FILES: &[&str] = &["src/lib.rs", "src/config.rs", "tests/conformance.rs"];
/// What a store has besides: one that does the steps inside its server, and one that stands on records.
const SCRIPTED: &[&str] = &["src/store.rs", "src/watch.rs"];
const RECORDS: &[&str] = &["src/records.rs"];
/// The size of a conformance test, which is a builder, the faults that it can cause, and one call.
const CONFORMANCE_LINES: usize = 120;

fn check(tree: &Tree) -> Verdict {
    let stores: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix("stores/")?.split_once('/').map(|(store, _)| store))
        .filter(|store| *store != "open")
        .collect();
    let mut findings = Vec::new();
    for store in stores {
        let own = if tree.has(&format!("stores/{store}/{}", RECORDS[0])) { RECORDS } else { SCRIPTED };
        for name in FILES.iter().chain(own) {
            let path = format!("stores/{store}/{name}");
            if !tree.has(&path) {
                findings.push(Finding::new(&path, 0, "is missing: every store has it"));
            }
        }
        let conformance = format!("stores/{store}/tests/conformance.rs");
        let Some(file) = tree.files.iter().find(|file| file.path == conformance) else { continue };
        let lines = file.text.lines().count();
        let tests = file.text.lines().filter(|line| is_test(line.trim())).count();
        if lines > CONFORMANCE_LINES || tests > 1 {
            let what =
                format!("{lines} lines, {tests} tests: the rest belongs into the suite, or into a file beside it");
            findings.push(Finding::new(&conformance, 0, what));
        }
    }
    Verdict::of(findings)
}

fn is_test(line: &str) -> bool {
    line.starts_with("#[test]") || (line.starts_with("#[tokio::test") && line.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store without its watch is found, and so is a suite of its own.
    #[test]
    fn a_store_of_another_shape_is_found() {
        let paths: Vec<String> = FILES.iter().chain(SCRIPTED).map(|name| format!("stores/x/{name}")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        assert_eq!(check(&Tree::of(&files)), Verdict::Kept);
        assert!(matches!(check(&Tree::of(&files[1..])), Verdict::Broken(_)));
        assert!(matches!(check(&Tree::of(&files[..4])), Verdict::Broken(_)));
        let records = [files[0], files[1], files[2], ("stores/x/src/records.rs", "")];
        assert_eq!(check(&Tree::of(&records)), Verdict::Kept);
        let long = "x\n".repeat(CONFORMANCE_LINES + 1);
        let mut files = files;
        for text in [long.as_str(), "#[test]\nfn a() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn b() {}\n"]
        {
            files[2].1 = text;
            assert!(matches!(check(&Tree::of(&files)), Verdict::Broken(_)));
        }
    }
}
