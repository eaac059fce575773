//! One table of each lease store: its server's version, the suite, and the fault arm, read from what the tests printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is known of one store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Store<'a> {
    /// The version of the server that the fault arm was played on.
    version: Option<&'a str>,
    /// Passed, failed, skipped.
    suite: Option<[u64; 3]>,
    /// `passed`, `FAILED (...)`, `partial (...)` or `skipped (...)`, with what was counted.
    arm: Option<(&'a str, &'a str)>,
}

/// The table; `None` where nothing of any store ran.
///
/// A store's suite is counted once its summary is there, `NAME: 1 passed, 0 failed, 0 skipped`; its fault arm is one line,
/// `fault arm: NAME: VERSION: COUNTS: VERDICT`, or `SKIPPED: fault arm on NAME: REASON`.
pub(crate) fn render(log: &str) -> Option<String> {
    let mut stores: BTreeMap<&str, Store<'_>> = BTreeMap::new();
    for line in log.lines().map(str::trim) {
        if let Some((name, version, counts, verdict)) = arm(line) {
            let store = stores.entry(name).or_default();
            (store.version, store.arm) = (Some(version), Some((verdict, counts)));
        } else if let Some((name, reason)) = arm_left_out(line) {
            stores.entry(name).or_default().arm = Some(("skipped", reason));
        } else if let Some((name, rest)) = line.split_once(": ")
            && let Some(counts) = summary(rest)
        {
            stores.entry(name).or_default().suite = Some(counts);
        }
    }
    if stores.is_empty() {
        return None;
    }
    let mut rows = vec![["lease store", "server", "outcome", "suite", "fault arm"].map(str::to_owned)];
    rows.extend(stores.iter().map(|(name, store)| store.row(name)));
    let wide = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [name, version, outcome, suite] = [wide(0), wide(1), wide(2), wide(3)];
    let mut text = String::new();
    for row in &rows {
        _ = writeln!(
            text,
            "{:<name$}  {:<version$}  {:<outcome$}  {:<suite$}  {}",
            row[0], row[1], row[2], row[3], row[4]
        );
    }
    Some(text)
}

impl Store<'_> {
    fn row(&self, name: &str) -> [String; 5] {
        let suite = self.suite.map_or_else(|| "-".to_owned(), show);
        let arm = self.arm.map_or_else(|| "-".to_owned(), |(verdict, counts)| format!("{verdict}: {counts}"));
        [name.to_owned(), self.version.unwrap_or("-").to_owned(), self.outcome().to_owned(), suite, arm]
    }

    /// What became of both: the worse of them. What was left out of one that ran, with its reason, is no failure.
    fn outcome(&self) -> &'static str {
        let arm = self.arm.map_or("-", |(verdict, _)| verdict);
        match self.suite {
            Some([_, failed, _]) if failed > 0 => "failed",
            _ if arm.starts_with("FAILED") => "failed",
            _ if arm.starts_with("partial") => "partial",
            None if arm.starts_with("skipped") => "skipped",
            // One half of what there is to be seen.
            Some(_) if arm.starts_with("skipped") => "partial",
            _ => "passed",
        }
    }
}

/// Name, version, counts, verdict.
fn arm(line: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = line.strip_prefix("fault arm: ")?.splitn(4, ": ");
    Some((parts.next()?, parts.next()?, parts.next()?, parts.next()?))
}

fn arm_left_out(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("SKIPPED: fault arm on ")?.split_once(": ")
}

fn summary(text: &str) -> Option<[u64; 3]> {
    let mut parts = text.split(", ");
    let mut next = |word| parts.next()?.strip_suffix(word)?.trim().parse().ok();
    let counts = [next("passed")?, next("failed")?, next("skipped")?];
    parts.next().is_none().then_some(counts)
}

fn show([passed, failed, skipped]: [u64; 3]) -> String {
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Summaries and fault arms make one row for each store, whichever of them is there, and other output is left alone.
    #[test]
    fn suites_and_fault_arms_make_rows() {
        let log = "redis cluster: claims::two_claimers: passed (3 ms)\n\
                   redis cluster: 48 passed, 0 failed, 1 skipped\n\
                   memory: 50 passed, 0 failed, 0 skipped\nnoise: 1 passed\n\
                   \x20   fault arm: redis cluster: 7.0.15: 63 elections, 85 faults: partial (no nodes: none)\n\
                   fault arm: sqlite: 3.50.1: 9 elections, 9 faults: FAILED (2 overlaps)\n\
                   SKIPPED: fault arm on etcd: etcd is not here: install it\n";
        let text = render(log).unwrap();
        let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert_eq!(text.lines().count(), 5, "{text}");
        let outcome = |name: &str| {
            ["passed", "failed", "partial", "skipped"].map(|word| row(name).contains(&format!("  {word}  ")))
        };
        assert_eq!(outcome("redis cluster"), [false, false, true, false], "{text}");
        assert_eq!(outcome("memory"), [true, false, false, false], "{text}");
        assert_eq!(outcome("sqlite"), [false, true, false, false], "{text}");
        assert_eq!(outcome("etcd"), [false, false, false, true], "{text}");
        assert!(row("redis cluster").contains("48 passed, 0 failed, 1 skipped"), "{text}");
        assert!(
            row("redis cluster").contains("7.0.15") && row("redis cluster").contains("partial (no nodes: none): 63")
        );
        assert!(row("memory").ends_with('-') && row("sqlite").contains("FAILED (2 overlaps): 9 elections"), "{text}");
        assert!(row("etcd").ends_with("skipped: etcd is not here: install it"), "{text}");
        assert!(render("nothing of that kind\n").is_none());
    }
}
