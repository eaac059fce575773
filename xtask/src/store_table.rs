//! One table of the results of each lease store under the suite, read from what the tests printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Passed, failed, skipped.
type Counts = [u64; 3];

/// The table; `None` where no store's suite ran. A store is counted once its summary line is there, `NAME: 1 passed, 0
/// failed, 0 skipped`; its fault arm is the cases of the topic `faults`.
pub(crate) fn render(log: &str) -> Option<String> {
    let mut stores: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut faults: BTreeMap<&str, Counts> = BTreeMap::new();
    for line in log.lines().map(str::trim) {
        let Some((store, rest)) = line.split_once(": ") else { continue };
        if let Some(counts) = summary(rest) {
            stores.insert(store, counts);
        } else if let Some(which) = rest.strip_prefix("faults::").and_then(|case| verdict(case.split_once(": ")?.1)) {
            faults.entry(store).or_default()[which] += 1;
        }
    }
    if stores.is_empty() {
        return None;
    }
    let wide = stores.keys().map(|store| store.len()).max().unwrap_or(0).max("lease store".len());
    let mut text = format!("{:<wide$}  suite                              fault arm\n", "lease store");
    for (store, counts) in stores {
        let arm = faults.get(store).copied().unwrap_or_default();
        _ = writeln!(text, "{store:<wide$}  {:<33}  {}", show(counts), show(arm));
    }
    Some(text)
}

fn summary(text: &str) -> Option<Counts> {
    let mut parts = text.split(", ");
    let mut next = |word| parts.next()?.strip_suffix(word)?.trim().parse().ok();
    let counts = [next("passed")?, next("failed")?, next("skipped")?];
    parts.next().is_none().then_some(counts)
}

fn verdict(text: &str) -> Option<usize> {
    ["passed", "FAILED", "skipped"].iter().position(|word| text.starts_with(word))
}

fn show([passed, failed, skipped]: Counts) -> String {
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Summaries make rows, the fault arm is counted from its cases, and other output is left alone.
    #[test]
    fn summaries_make_rows() {
        let log = "    redis cluster: faults::a_store_that_dies_and_comes_back: passed (90 ms)\n\
                   redis cluster: faults::a_stopped_client_loses: skipped (no way to stop one)\n\
                   redis cluster: claims::two_claimers: passed (3 ms)\n\
                   redis cluster: 48 passed, 0 failed, 1 skipped\n\
                   flawed: claims::two_claimers: FAILED: expected x, got y\nnoise: 1 passed\n";
        let text = render(log).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("48 passed, 0 failed, 1 skipped") && text.contains("1 passed, 0 failed, 1 skipped"),
            "{text}"
        );
        assert!(render("nothing of that kind\n").is_none());
    }
}
