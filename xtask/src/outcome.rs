//! The outcome of a suite, read from the output of nextest and libtest.

use std::collections::{BTreeMap, BTreeSet};

/// The counts of one suite, and why some of it was not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many tests ran and passed.
    pub(crate) passed: u64,
    /// How many tests ran and failed, or should have run and could not.
    pub(crate) failed: u64,
    /// How many tests were skipped.
    pub(crate) skipped: u64,
    /// The reasons for what was skipped, each once.
    pub(crate) reasons: BTreeSet<String>,
    /// The names of the tests that failed.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// One check that passed.
    pub(crate) fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One check that failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { failed: 1, failures: vec![what.into()], ..Self::default() }
    }

    /// One check that was skipped.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self { skipped: 1, reasons: BTreeSet::from([reason.into()]), ..Self::default() }
    }

    /// Counts a test that passed but said that it did not run as skipped.
    fn skip_instead(&mut self, reason: &str) {
        self.passed = self.passed.saturating_sub(1);
        self.skipped += 1;
        self.reasons.insert(reason.to_owned());
    }
}

/// The outcomes of a run of tests, by crate.
pub(crate) type ByCrate = BTreeMap<String, Outcome>;

/// Reads the output of `cargo nextest run --success-output immediate`.
///
/// Each finished test has a line `PASS [ 0.01s] (1/9) crate test`; what it printed follows. Where nextest repeats its
/// failures under `Summary`, reading stops.
pub(crate) fn from_nextest(log: &str) -> ByCrate {
    let mut crates = ByCrate::new();
    let mut current: Option<(String, String)> = None;
    let mut told = BTreeSet::new();
    for line in log.lines() {
        let line = without_colour(line);
        let text = line.trim_start();
        if text.starts_with("Summary [") {
            break;
        }
        if let Some((status, name, test)) = nextest_verdict(text) {
            let outcome = crates.entry(crate_of(name)).or_default();
            match status {
                "PASS" | "LEAK" => outcome.passed += 1,
                "SKIP" => {
                    outcome.skipped += 1;
                    outcome.reasons.insert("marked to be ignored".to_owned());
                }
                _ => {
                    outcome.failed += 1;
                    outcome.failures.push(format!("{name} {test}"));
                }
            }
            current = (status == "PASS" || status == "LEAK").then(|| (crate_of(name), format!("{name} {test}")));
        } else if let (Some(reason), Some((name, test))) = (skip_reason(text), &current) {
            // A test may give its reason more than once; it is one test all the same.
            if told.insert(test.clone()) {
                crates.entry(name.clone()).or_default().skip_instead(reason);
            } else {
                crates.entry(name.clone()).or_default().reasons.insert(reason.to_owned());
            }
        }
    }
    crates
}

/// Reads the output of `cargo test -- --show-output`, and of harnesses that print like libtest.
///
/// A crate's name is taken from the line `Running ... (target/debug/deps/NAME-HASH)` or `Doc-tests NAME`; `names` gives the
/// crate of each `NAME-HASH`.
pub(crate) fn from_libtest(log: &str, names: &BTreeMap<String, String>) -> ByCrate {
    let mut crates = ByCrate::new();
    let mut current = String::from("unknown");
    let mut told = BTreeSet::new();
    for line in log.lines() {
        let line = without_colour(line);
        let text = line.trim();
        if let Some(binary) = running(text) {
            current = names.get(binary).cloned().unwrap_or_else(|| crate_of_file(binary));
            told.clear();
            continue;
        }
        let outcome = crates.entry(current.clone()).or_default();
        if text.starts_with("test ") && text.contains("... SKIPPED: ") {
            // An uncaptured test printed this before its verdict, which then stands alone on a line and is not counted.
            outcome.skipped += 1;
            outcome.reasons.extend(skip_reason(text).map(str::to_owned));
        } else if let Some((name, verdict)) = libtest_verdict(text) {
            match verdict.split([',', ' ']).next() {
                Some("ok") => outcome.passed += 1,
                Some("ignored") => {
                    outcome.skipped += 1;
                    let reason = verdict.trim_start_matches("ignored").trim_start_matches([',', ' ']);
                    outcome.reasons.insert(if reason.is_empty() { "marked to be ignored" } else { reason }.to_owned());
                }
                Some("FAILED") => {
                    outcome.failed += 1;
                    outcome.failures.push(format!("{current} {name}"));
                }
                _ => {}
            }
        } else if let Some(reason) = skip_reason(text)
            && told.insert(reason.to_owned())
        {
            outcome.skip_instead(reason);
        }
    }
    crates.retain(|_, outcome| *outcome != Outcome::default());
    crates
}

/// The output of the tests that failed, from a log of nextest or of libtest; at most `most` lines of each test.
pub(crate) fn failures(log: &str, most: usize) -> Vec<String> {
    let mut shown = Vec::new();
    let (mut left, mut libtest_failures) = (0, false);
    for line in log.lines() {
        let line = without_colour(line);
        let text = line.trim_start();
        match line.as_str() {
            // libtest gives the output of passed tests first, then that of failed ones.
            "failures:" => libtest_failures = true,
            "successes:" => libtest_failures = false,
            _ if line.starts_with("test result:") => (left, libtest_failures) = (0, false),
            _ if text.starts_with("Summary [") => break,
            _ => {}
        }
        if let Some((status, ..)) = nextest_verdict(text) {
            left = if matches!(status, "PASS" | "LEAK" | "SKIP") { 0 } else { most };
        } else if libtest_failures && line.starts_with("---- ") {
            left = most;
        }
        if left > 0 {
            left -= 1;
            shown.push(line);
        }
    }
    shown
}

/// The reason in a line `SKIPPED: suite: reason`, the suite's name included.
pub(crate) fn skip_reason(line: &str) -> Option<&str> {
    let at = line.find("SKIPPED: ")?;
    // libtest puts the first line of an uncaptured test behind `test name ... `.
    (at == 0 || line.starts_with("test ")).then(|| line[at + "SKIPPED: ".len()..].trim())
}

/// `PASS [   0.004s] (  1/346) tenure-core elector::tests::renews` gives status, binary and test.
fn nextest_verdict(text: &str) -> Option<(&str, &str, &str)> {
    let (status, rest) = text.split_once(" [")?;
    let status = status.trim();
    let known = ["PASS", "LEAK", "FAIL", "FLAKY", "TIMEOUT", "ABORT", "SKIP", "XFAIL", "LEAK-FAIL"].contains(&status)
        || status.starts_with("SIG");
    if !known {
        return None;
    }
    let (_, rest) = rest.split_once(']')?;
    let rest = rest.trim_start();
    let rest = if rest.starts_with('(') { rest.split_once(')')?.1.trim_start() } else { rest };
    let (name, test) = rest.split_once(' ')?;
    Some((status, name, test.trim()))
}

/// `test tests::renews ... ok` gives name and verdict; also what libtest-mimic prints, with spaces to align.
fn libtest_verdict(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("test ")?;
    let (name, verdict) = rest.rsplit_once(" ... ").or_else(|| rest.rsplit_once("... "))?;
    Some((name.trim(), verdict.trim()))
}

/// The binary in `Running unittests src/lib.rs (target/debug/deps/tenure_core-0123)`, or the crate after `Doc-tests`.
fn running(text: &str) -> Option<&str> {
    if let Some(name) = text.strip_prefix("Doc-tests ") {
        return Some(name.trim());
    }
    let rest = text.strip_prefix("Running ")?;
    let path = rest.rsplit_once('(')?.1.trim_end_matches(')');
    path.rsplit('/').next()
}

/// The crate that a file name such as `tenure_core-0a1b` most likely belongs to.
fn crate_of_file(file: &str) -> String {
    file.rsplit_once('-').map_or(file, |(name, _hash)| name).replace('_', "-")
}

/// The crate of a nextest binary id such as `tenure-core` or `tenure-sqlite::conformance`.
fn crate_of(binary: &str) -> String {
    binary.split("::").next().unwrap_or(binary).to_owned()
}

/// The line without terminal escapes.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(next) = chars.next() {
        if next == '\u{1b}' {
            for skipped in chars.by_ref() {
                if skipped.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(next);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts are counted by crate, a test binary under `tests/` belongs to its crate, the repeated list is not counted twice.
    #[test]
    fn nextest_verdicts_are_counted_by_crate() {
        let log = "    Starting 4 tests across 2 binaries\n\
             \u{1b}[32m        PASS\u{1b}[0m [   0.003s] (1/4) tenure-core time::tests::adds\n\
                     PASS [   0.003s] (2/4) tenure-sqlite::conformance two_claimers\n\
                     FAIL [   0.003s] (3/4) tenure-sqlite::conformance watch\n\
               stdout ───\n    assertion failed\n\
                  SIGABRT [   0.003s] (4/4) tenure-core deep\n\
             ────────────\n     Summary [   0.1s] 4 tests run\n\
                     FAIL [   0.003s] (3/4) tenure-sqlite::conformance watch\n";
        let crates = from_nextest(log);
        assert_eq!((crates["tenure-core"].passed, crates["tenure-core"].failed), (1, 1));
        assert_eq!((crates["tenure-sqlite"].passed, crates["tenure-sqlite"].failed), (1, 1));
        assert_eq!(crates["tenure-sqlite"].failures, ["tenure-sqlite::conformance watch"]);
    }

    /// A test that passes and says SKIPPED moves from passed to skipped, once, with its reason.
    #[test]
    fn a_test_that_says_skipped_is_not_counted_as_passed() {
        let log = "        PASS [   0.003s] (1/2) tenure-irc::corpus every_line\n  stdout ───\n\n    running 1 test\n    \
                   SKIPPED: corpus: no folder\n    SKIPPED: corpus: no folder\n    test every_line ... ok\n\
                   \n        PASS [   0.003s] (2/2) tenure-irc other\n";
        let outcome = &from_nextest(log)["tenure-irc"];
        assert_eq!((outcome.passed, outcome.skipped, outcome.failed), (1, 1, 0));
        assert!(outcome.reasons.contains("corpus: no folder"));
    }

    /// libtest, doc tests and libtest-mimic are read alike.
    #[test]
    fn libtest_verdicts_are_counted_by_crate() {
        let log = "     Running unittests src/lib.rs (target/debug/deps/tenure_core-0a1b)\n\nrunning 2 tests\n\
                   test a::b ... ok\ntest a::c ... FAILED\n\
                        Running tests/conformance.rs (target/debug/deps/conformance-99)\n\
                   test two_claimers    ... ok\ntest watch ... ignored, unsupported\n\
                   SKIPPED: time namespaces: not root\n\
                      Doc-tests tenure\ntest src/lib.rs - (line 3) ... ok\n";
        let names = BTreeMap::from([("conformance-99".to_owned(), "tenure-sqlite".to_owned())]);
        let crates = from_libtest(log, &names);
        assert_eq!((crates["tenure-core"].passed, crates["tenure-core"].failed), (1, 1));
        assert_eq!((crates["tenure-sqlite"].passed, crates["tenure-sqlite"].skipped), (0, 2));
        assert_eq!(crates["tenure"].passed, 1);
    }

    /// The output of failed tests is shown and that of passed tests is not, for both harnesses.
    #[test]
    fn only_failures_are_shown() {
        let nextest = "   PASS [ 0.1s] (1/2) a one\n  stdout ───\n    fine\n   FAIL [ 0.1s] (2/2) a two\n  stdout ───\n    broken\n     Summary [ 1s]\n   FAIL [ 0.1s] a two\n";
        let shown = failures(nextest, 40).join("\n");
        assert!(shown.contains("broken") && !shown.contains("fine") && !shown.contains("Summary"), "{shown}");
        let libtest = "test one ... ok\nsuccesses:\n\n---- one stdout ----\nfine\n\nfailures:\n\n---- two stdout ----\nbroken\n\ntest result: FAILED\nmore\n";
        let shown = failures(libtest, 40).join("\n");
        assert!(shown.contains("broken") && !shown.contains("fine") && !shown.contains("more"), "{shown}");
        assert_eq!(failures(libtest, 1).len(), 1);
    }

    /// Other lines that hold the word are not reasons.
    #[test]
    fn only_a_line_that_begins_with_skipped_is_a_reason() {
        assert_eq!(skip_reason("SKIPPED: a: b"), Some("a: b"));
        assert_eq!(skip_reason("test x ... SKIPPED: a: b"), Some("a: b"));
        assert_eq!(skip_reason("the line SKIPPED: is printed"), None);
    }
}
