//! How far a running step is, read line by line from what cargo, nextest, libtest and the simulator print.

use std::fmt::Write as _;

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    doing: Option<Doing>,
    failed: u64,
    /// nextest runs: what it repeats of the binaries' own output counts no test.
    by_nextest: bool,
    /// What runs now, as the output tells it.
    running: String,
    /// The last line, for a step that counts nothing.
    last: String,
}

/// What is counted, how many are done, and of how many.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doing {
    what: What,
    done: u64,
    all: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Compilations of crates.
    Build,
    Tests,
    Seeds,
}

impl Progress {
    /// Takes a line of the output, or one that was to be written over by the next. Returns whether it is cargo's bar.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        let line = line.trim();
        if line.is_empty() {
            return false;
        }
        if self.by_nextest {
            if let Some((failed, done, all)) = nextest_count(line) {
                // Its closing summary names once more what has failed.
                let is_new = done > self.tests().0;
                self.failed += u64::from(failed && is_new);
                self.doing = Some(Doing { what: What::Tests, done: done.max(self.tests().0), all });
            }
            line.clone_into(&mut self.last);
            return false;
        }
        let bar = cargo_bar(line);
        let is_bar = bar.is_some();
        if let Some((done, all, running)) = bar {
            self.doing = Some(Doing { what: What::Build, done, all });
            running.clone_into(&mut self.running);
        } else if let Some(tests) = number_after(line, "Starting ") {
            // nextest knows all tests before it runs the first.
            self.doing = Some(Doing { what: What::Tests, done: 0, all: tests });
            self.by_nextest = true;
            self.running.clear();
        } else if let Some(tests) =
            number_after(line, "running ").filter(|_| line.ends_with(" tests") || line.ends_with(" test"))
        {
            // libtest and doc tests tell of one binary after the other.
            let (done, all) = self.tests();
            self.doing = Some(Doing { what: What::Tests, done, all: all + tests });
        } else if line.starts_with("test ") && line.contains("... ") && self.doing.is_some() {
            let (done, all) = self.tests();
            self.doing = Some(Doing { what: What::Tests, done: done + 1, all });
            self.failed += u64::from(line.ends_with("FAILED"));
        } else if let Some((done, all)) = seeds(line) {
            self.doing = Some(Doing { what: What::Seeds, done, all });
        } else if let Some(crate_or_binary) = line.strip_prefix("Doc-tests ").or_else(|| line.strip_prefix("Running "))
        {
            crate_or_binary.split(" (").next().unwrap_or_default().clone_into(&mut self.running);
        }
        line.clone_into(&mut self.last);
        is_bar
    }

    /// The progress in words. `processes` are the tests whose processes run now, where the caller knows them.
    pub(crate) fn show(&self, processes: &[String]) -> String {
        let Some(Doing { what, done, all }) = &self.doing else { return self.last.clone() };
        let what = match what {
            What::Build => "crates built",
            What::Tests => "tests done",
            What::Seeds => "seeds played",
        };
        let mut text = format!("{done} of {all} {what}");
        if self.failed > 0 {
            _ = write!(text, ", {} failed", self.failed);
        }
        let running = if processes.is_empty() { self.running.clone() } else { processes.join(", ") };
        if !running.is_empty() {
            _ = write!(text, "; now {running}");
        }
        text
    }

    fn tests(&self) -> (u64, u64) {
        match &self.doing {
            Some(Doing { what: What::Tests, done, all }) => (*done, *all),
            _ => (0, 0),
        }
    }
}

/// `Building [=====>      ] 12/345: foo, bar(test)` gives 12, 345 and the names.
fn cargo_bar(line: &str) -> Option<(u64, u64, &str)> {
    let (_, rest) = line.split_once('[')?;
    let (bar, rest) = rest.split_once("] ")?;
    if !bar.chars().all(|c| matches!(c, '=' | '>' | ' ')) {
        return None;
    }
    let (count, running) = rest.split_once(": ").unwrap_or((rest, ""));
    let (done, all) = count.trim().split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?, running.trim()))
}

/// `PASS [   0.003s] ( 12/346) tenure-core name` gives whether it failed, 12 and 346.
fn nextest_count(line: &str) -> Option<(bool, u64, u64)> {
    let (status, rest) = line.split_once(" [")?;
    let (_, rest) = rest.split_once("] (")?;
    let (count, _) = rest.split_once(')')?;
    let (done, all) = count.split_once('/')?;
    let failed = !matches!(status.trim(), "PASS" | "LEAK" | "SKIP" | "SLOW");
    Some((failed, done.trim().parse().ok()?, all.trim().parse().ok()?))
}

/// `elector: 12000 of 20000 seeds, 310 seeds/s`.
fn seeds(line: &str) -> Option<(u64, u64)> {
    let (head, _) = line.split_once(" seeds")?;
    let (head, all) = head.rsplit_once(" of ")?;
    let (_, done) = head.rsplit_once(' ')?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

/// The number behind this beginning of a line.
fn number_after(line: &str, beginning: &str) -> Option<u64> {
    line.strip_prefix(beginning)?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> String {
        let mut progress = Progress::default();
        for line in lines {
            progress.take(line);
        }
        progress.show(&[])
    }

    /// cargo's bar, which one build prints over and over, tells how many crates are built and which ones are.
    #[test]
    fn a_build_counts_crates() {
        assert_eq!(
            after(&["   Compiling a v1", "    Building [====>     ] 120/456: tenure-redis, tenure-cli(test)"]),
            "120 of 456 crates built; now tenure-redis, tenure-cli(test)"
        );
        assert_eq!(after(&["Building [          ] 0/9"]), "0 of 9 crates built");
        assert_eq!(after(&["    Checking [x] 1/2"]), "Checking [x] 1/2");
    }

    /// nextest counts by itself; what runs is what its processes say.
    #[test]
    fn nextest_counts_tests() {
        let mut progress = Progress::default();
        progress.take("    Building [====>     ] 455/456: xtask");
        progress.take("    Starting 346 tests across 52 binaries (2 tests skipped)");
        assert_eq!(progress.show(&[]), "0 of 346 tests done");
        progress.take("        PASS [   0.003s] (  1/346) tenure-core time::tests::adds");
        progress.take("        FAIL [   0.003s] (  2/346) tenure-core time::tests::subtracts");
        progress.take("        SLOW [> 60.000s] (---------) tenure-cli::e2e demo::long");
        assert_eq!(
            progress.show(&["e2e demo::long".to_owned(), "conformance".to_owned()]),
            "2 of 346 tests done, 1 failed; now e2e demo::long, conformance"
        );
        // What the test itself printed is shown, and the summary names it once more.
        progress.take("    running 1 test");
        progress.take("    test time::tests::subtracts ... FAILED");
        progress.take("        FAIL [   0.003s] (  2/346) tenure-core time::tests::subtracts");
        assert_eq!(progress.show(&[]), "2 of 346 tests done, 1 failed");
    }

    /// libtest's binaries add up.
    #[test]
    fn libtest_adds_up() {
        let lines = [
            "Running unittests src/lib.rs (target/debug/deps/a-1)",
            "running 2 tests",
            "test a ... ok",
            "test b ... FAILED",
            "Doc-tests tenure",
            "running 1 test",
        ];
        assert_eq!(after(&lines), "2 of 3 tests done, 1 failed; now tenure");
    }

    /// The simulator counts seeds; any other step shows its last line.
    #[test]
    fn other_steps_show_what_they_print() {
        assert_eq!(after(&["elector: 12000 of 20000 seeds, 310 seeds/s"]), "12000 of 20000 seeds played");
        assert_eq!(after(&["one", "  two  ", ""]), "two");
    }
}
