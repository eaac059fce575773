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
    let wide = stores.keys().map(|name| name.len()).max().unwrap_or(0).max("lease store".len());
    let head = ("lease store", "server", "suite", "fault arm");
    let mut text = format!("{:<wide$}  {:<9}  {:<33}  {}\n", head.0, head.1, head.2, head.3);
    for (name, store) in stores {
        let suite = store.suite.map_or_else(|| "-".to_owned(), show);
        let arm = store.arm.map_or_else(|| "-".to_owned(), |(verdict, counts)| format!("{verdict}: {counts}"));
        _ = writeln!(text, "{name:<wide$}  {:<9}  {suite:<33}  {arm}", store.version.unwrap_or("-"));
    }
    Some(text)
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
        assert!(row("redis cluster").contains("48 passed, 0 failed, 1 skipped"), "{text}");
        assert!(
            row("redis cluster").contains("7.0.15") && row("redis cluster").contains("partial (no nodes: none): 63")
        );
        assert!(row("memory").ends_with('-') && row("sqlite").contains("FAILED (2 overlaps): 9 elections"), "{text}");
        assert!(row("etcd").ends_with("skipped: etcd is not here: install it"), "{text}");
        assert!(render("nothing of that kind\n").is_none());
    }
}
