//! The suites of `cargo xtask test`, in the order in which they run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock::{Started, minutes};
use crate::outcome::{self, ByCrate, Outcome};
use crate::report::{Report, Row};
use crate::step::{self, StepResult};
use crate::{features, node, root, setup, store_table, tidy};

const MINUTE: Duration = Duration::from_secs(60);
/// How many soaks run at once: their rounds mostly wait, so more of them than cores can run beside each other.
const SOAKS_AT_ONCE: &str = "6";
/// How many fault arms run at once: their servers and clients take more of a machine.
const STORES_AT_ONCE: &str = "3";
/// How many lines of a failed test are shown.
const SHOWN_OF_EACH: usize = 40;

/// The options of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Whether the documentation is left out.
    pub(crate) quick: bool,
    /// How many seeds the simulator plays.
    pub(crate) seeds: u64,
}

/// The report so far, and the progress of the run.
struct Run {
    report: Report,
    /// The results of the lease stores under the suite.
    stores: Option<String>,
    started: Started,
    step: usize,
    steps: usize,
}

/// Runs every suite and prints the table; true when nothing failed.
///
/// # Errors
/// None: what goes wrong is a row of the table.
pub(crate) fn test(plan: &Plan) -> Result<bool> {
    let mut run = Run { report: Report::default(), stores: None, started: Started::now(), step: 0, steps: 10 };
    println!("cargo xtask test: logs in target/xtask/");
    run.setup();
    run.whole("format", cargo(&["fmt", "--all", "--check"]), 5 * MINUTE);
    run.tidy();
    run.whole(
        "clippy",
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        25 * MINUTE,
    );
    run.features();
    run.tests();
    run.doc_tests();
    run.node_clients();
    run.simulator(plan.seeds);
    if plan.quick {
        run.leave_out("docs", "left out by --quick");
    } else {
        let mut docs = cargo(&["doc", "--no-deps", "--workspace", "--locked"]);
        docs.env("RUSTDOCFLAGS", "-Dwarnings");
        run.whole("docs", docs, 15 * MINUTE);
    }
    println!("\ntook {}\n", minutes(run.started.elapsed()));
    if let Some(stores) = &run.stores {
        println!("{stores}");
    }
    println!("{}", run.report.render());
    Ok(run.report.is_green())
}

/// `cargo xtask sim`: the simulator alone, in the terminal.
///
/// # Errors
/// Where cargo cannot be started.
pub(crate) fn simulate(seeds: u64, rest: &[String]) -> Result<bool> {
    let mut command = cargo(&["run", "--quiet", "--release", "--locked", "-p", "tenure-sim", "--"]);
    if !rest.iter().any(|argument| argument == "--seed") {
        command.args(["--seeds", &seeds.to_string()]);
    }
    Ok(command.args(rest).status()?.success())
}

/// `cargo xtask stores`: the suite and a short fault arm on every store, and one table.
///
/// # Errors
/// Where cargo cannot be started, or its output not be kept.
pub(crate) fn stores() -> Result<bool> {
    let mut command = cargo(&["test", "--locked", "--no-fail-fast"]);
    for package in [
        "tenure-conformance",
        "tenure-sqlite",
        "tenure-redis",
        "tenure-etcd",
        "tenure-postgres",
        "tenure-kubernetes",
        "tenure-firestore",
    ] {
        command.args(["-p", package]);
    }
    let suites = step::run("stores", command.args(["suite", "--", "--nocapture", "--test-threads", "1"]), 20 * MINUTE)?;
    let mut arm = cargo(&["test", "--locked", "-p", "tenure-fault-arm", "--test", "stores", "--", "--nocapture"]);
    let arm = step::run("fault-arm", arm.args(["--test-threads", STORES_AT_ONCE]), 20 * MINUTE)?;
    for ran in [&suites, &arm].into_iter().filter(|ran| !ran.ok) {
        ran.show_end();
    }
    let table = store_table::render(&format!("{}\n{}", suites.output, arm.output));
    println!("{}", table.unwrap_or_else(|| format!("no suite ran, see {}", suites.log_name())));
    Ok(suites.ok && arm.ok)
}

/// `cargo xtask soak run`: the rounds of faults against `tenure run`, in the terminal; all of them again until `at_least` has
/// passed. Every other candidate is `other`, where given.
///
/// # Errors
/// Where cargo cannot be started, or there is no such file.
pub(crate) fn soak(rounds: u64, at_least: Duration, only: &str, other: Option<&Path>) -> Result<bool> {
    let started = Started::now();
    let other = other.map(|file| file.canonicalize().with_context(|| format!("{}", file.display()))).transpose()?;
    loop {
        let mut command = cargo(&["test", "--quiet", "--locked", "-p", "tenure-cli", "--test", "soak", "--"]);
        command.args(["--nocapture", "--test-threads", SOAKS_AT_ONCE]);
        if !only.is_empty() {
            command.arg(only);
        }
        if let Some(other) = &other {
            command.env("TENURE_OTHER_BINARY", other);
        }
        if !command.env("TENURE_ROUNDS", rounds.to_string()).status()?.success() {
            return Ok(false);
        }
        if started.elapsed() >= at_least {
            return Ok(true);
        }
    }
}

/// `cargo xtask soak stores`: the fault arm of the stores whose name contains `only`, in the terminal, with one row for each
/// at the end. Each plays on until `at_least` has passed.
///
/// # Errors
/// Where cargo cannot be started.
pub(crate) fn soak_stores(rounds: u64, at_least: Duration, only: &str) -> Result<bool> {
    let mut command = cargo(&["test", "--quiet", "--locked", "-p", "tenure-fault-arm", "--test", "stores", "--"]);
    command.args(["--nocapture", "--test-threads", STORES_AT_ONCE]);
    if !only.is_empty() {
        command.arg(only);
    }
    command.env("TENURE_FAULT_ROUNDS", rounds.to_string());
    command.env("TENURE_FAULT_MINUTES", at_least.as_secs().div_ceil(60).to_string());
    Ok(command.status()?.success())
}

impl Run {
    fn announce(&mut self, what: &str) {
        self.step += 1;
        println!("[{}/{}] {what}  ({} so far)", self.step, self.steps, minutes(self.started.elapsed()));
    }

    fn add(&mut self, suite: &str, outcome: Outcome, took: Option<Duration>, note: &str) {
        self.report.add(Row { suite: suite.to_owned(), outcome, took, note: note.to_owned() });
    }

    fn leave_out(&mut self, suite: &str, reason: &str) {
        self.announce(suite);
        self.add(suite, Outcome::skipped(reason), None, "");
    }

    /// Provides the tools. A missing tool is a failure in continuous integration and a skip elsewhere; its suites then
    /// fail or pass on their own.
    fn setup(&mut self) {
        self.announce("setup");
        let started = Started::now();
        let missing = setup::prepare();
        let mut outcome = Outcome::default();
        for tool in missing {
            eprintln!("setup: missing: {tool}");
            if root::in_ci() {
                outcome.failed += 1;
                outcome.failures.push(tool);
            } else {
                outcome.skipped += 1;
                outcome.reasons.insert(tool);
            }
        }
        if outcome == Outcome::default() {
            outcome = Outcome::passed();
        }
        self.add("setup", outcome, Some(started.elapsed()), "");
    }

    /// Runs a suite that is one command and counts as one check.
    fn whole(&mut self, suite: &str, command: Command, limit: Duration) {
        self.announce(suite);
        match self.step(suite, command, limit) {
            Some(ran) if ran.ok => self.add(suite, Outcome::passed(), Some(ran.took), ""),
            Some(ran) => {
                ran.show_end();
                let what = format!("{}, see {}", ran.ended, ran.log_name());
                self.add(suite, Outcome::failed(what), Some(ran.took), "");
            }
            None => {}
        }
    }

    /// Runs a command. If it cannot even be started the suite has failed, and this returns `None`.
    fn step(&mut self, suite: &str, mut command: Command, limit: Duration) -> Option<StepResult> {
        match step::run(&suite.replace(' ', "-"), &mut command, limit) {
            Ok(ran) => Some(ran),
            Err(error) => {
                eprintln!("{suite}: {error:#}");
                self.add(suite, Outcome::failed(format!("{error:#}")), None, "");
                None
            }
        }
    }

    fn tidy(&mut self) {
        self.announce("tidy");
        let started = Started::now();
        let mut outcome = Outcome::default();
        match tidy::run() {
            Err(error) => outcome = Outcome::failed(format!("{error:#}")),
            Ok(verdicts) => {
                for verdict in verdicts {
                    match verdict.outcome {
                        tidy::Verdict::Kept => outcome.passed += 1,
                        tidy::Verdict::NotChecked(reason) => {
                            outcome.skipped += 1;
                            outcome.reasons.insert(format!("{}: {reason}", verdict.rule.name));
                        }
                        tidy::Verdict::Broken(findings) => {
                            outcome.failed += 1;
                            outcome.failures.push(format!("{} ({} times)", verdict.rule.name, findings.len()));
                            for finding in findings {
                                eprintln!("    {finding}  [{}]", verdict.rule.name);
                            }
                        }
                    }
                }
            }
        }
        self.add("tidy", outcome, Some(started.elapsed()), "one rule each");
    }

    /// Whoever chooses one store compiles nothing of the others.
    fn features(&mut self) {
        self.announce("features");
        let started = Started::now();
        let outcome = match features::check() {
            Err(error) => Outcome::failed(format!("{error:#}")),
            Ok(wrong) if wrong.is_empty() => Outcome { passed: features::count(), ..Outcome::default() },
            Ok(wrong) => {
                wrong.iter().for_each(|line| eprintln!("    {line}"));
                Outcome { failed: wrong.len() as u64, failures: wrong, ..Outcome::default() }
            }
        };
        self.add("features", outcome, Some(started.elapsed()), "one store each");
    }

    /// All tests of all crates, under nextest where it is installed.
    fn tests(&mut self) {
        let limit = 50 * MINUTE;
        if setup::has_nextest() {
            self.announce("tests (cargo nextest)");
            let command = cargo(&[
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-fail-fast",
                "--config-file",
                "xtask/nextest.toml",
                "--success-output",
                "immediate",
                "--failure-output",
                "immediate",
                "--status-level",
                "all",
            ]);
            let Some(ran) = self.step("tests", command, limit) else { return };
            self.crates("tests", &ran, outcome::from_nextest(&ran.output));
            self.stores = store_table::render(&ran.output);
        } else {
            self.announce("tests (cargo test; nextest is not installed)");
            let build = cargo(&[
                "test",
                "--workspace",
                "--locked",
                "--lib",
                "--bins",
                "--tests",
                "--no-run",
                "--message-format",
                "json",
            ]);
            let Some(built) = self.step("tests build", build, limit) else { return };
            if !built.ok {
                built.show_end();
            }
            let names = test_binaries(&built.output);
            let command = cargo(&[
                "test",
                "--workspace",
                "--locked",
                "--lib",
                "--bins",
                "--tests",
                "--no-fail-fast",
                "--",
                "--show-output",
            ]);
            let Some(ran) = self.step("tests", command, limit) else { return };
            self.crates("tests", &ran, outcome::from_libtest(&ran.output, &names));
            self.stores = store_table::render(&ran.output);
        }
    }

    fn doc_tests(&mut self) {
        self.announce("doc tests");
        let command = cargo(&["test", "--workspace", "--locked", "--doc", "--no-fail-fast", "--", "--show-output"]);
        let Some(ran) = self.step("doc tests", command, 15 * MINUTE) else { return };
        self.crates("doc tests", &ran, outcome::from_libtest(&ran.output, &BTreeMap::new()));
    }

    /// tmi.js and @twurple/chat, unmodified, against the simulated Twitch. Without Node or what npm brings for it this is
    /// a skip; where Node itself is missing in continuous integration it is a failure.
    fn node_clients(&mut self) {
        const SUITE: &str = "node clients";
        self.announce(SUITE);
        if let Err(error) = node::check() {
            let missing = format!("{error:#}");
            let outcome = if root::in_ci() { Outcome::failed(missing) } else { Outcome::skipped(missing) };
            return self.add(SUITE, outcome, None, "");
        }
        let folder = match node::install("chat/twitch-sim/clients", "node-clients") {
            Ok(folder) => folder,
            Err(error) => return self.add(SUITE, Outcome::skipped(format!("{error:#}")), None, ""),
        };
        let build = cargo(&["build", "--locked", "-p", "tenure-cli"]);
        let Some(built) = self.step("node clients build", build, 20 * MINUTE) else { return };
        if !built.ok {
            built.show_end();
            let what = format!("tenure does not build, see {}", built.log_name());
            return self.add(SUITE, Outcome::failed(what), Some(built.took), "");
        }
        let mut command = root::command("node");
        command.arg(folder.join("run.mjs")).arg("--tenure").arg(root::debug_binary("tenure"));
        if std::env::var_os("TENURE_CORPORA").is_none() {
            command.env("TENURE_CORPORA", root::root().join("../shared/corpora"));
        }
        let Some(ran) = self.step(SUITE, command, 10 * MINUTE) else { return };
        self.crates(SUITE, &ran, outcome::from_libtest(&ran.output, &BTreeMap::new()));
    }

    fn simulator(&mut self, seeds: u64) {
        self.announce(&format!("simulator ({seeds} seeds)"));
        let seeds = seeds.to_string();
        let command = cargo(&["run", "--release", "--locked", "-p", "tenure-sim", "--", "--seeds", &seeds]);
        let Some(ran) = self.step("simulator", command, 20 * MINUTE) else { return };
        let outcome = if ran.ok {
            Outcome::passed()
        } else {
            ran.show_end();
            Outcome::failed(format!("{}, see {}", ran.ended, ran.log_name()))
        };
        self.add("simulator", outcome, Some(ran.took), &format!("{seeds} seeds, see {}", ran.log_name()));
    }

    /// Adds a row for a run of tests, and below it one for each crate. A run that ended badly although no test failed
    /// has failed itself.
    fn crates(&mut self, suite: &str, ran: &StepResult, crates: ByCrate) {
        let failed: u64 = crates.values().map(|outcome| outcome.failed).sum();
        let whole = if !ran.ok && failed == 0 {
            Outcome::failed(format!("{}, see {}", ran.ended, ran.log_name()))
        } else {
            Outcome::default()
        };
        let note = if crates.is_empty() { "none" } else { "by crate:" };
        self.add(suite, whole, Some(ran.took), note);
        for (name, outcome) in crates {
            self.add(&format!("  {name}"), outcome, None, "");
        }
        if !ran.ok && failed > 0 {
            ran.show(&outcome::failures(&ran.output, SHOWN_OF_EACH));
        } else if !ran.ok {
            ran.show_end();
        }
    }
}

fn cargo(args: &[&str]) -> Command {
    let mut command = root::command("cargo");
    command.args(args);
    command
}

/// The crate of each test binary, by the binary's file name, from cargo's JSON messages.
fn test_binaries(messages: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (Some(executable), Some(id)) = (message["executable"].as_str(), message["package_id"].as_str()) else {
            continue;
        };
        let file = executable.rsplit('/').next().unwrap_or(executable);
        names.insert(file.to_owned(), package_of(id).to_owned());
    }
    names
}

/// The package's name in an id such as `path+file:///x/lease/core#tenure-core@0.1.0` or `path+file:///x/xtask#0.1.0`.
fn package_of(id: &str) -> &str {
    let (path, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both shapes of a package id give the package's name.
    #[test]
    fn test_binaries_know_their_crate() {
        let messages = "{\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///x/lease/core#tenure-core@0.1.0\",\
                        \"executable\":\"/x/target/debug/deps/tenure_core-0a\"}\n\
                        {\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///x/xtask#0.1.0\",\"executable\":\"/x/deps/xtask-1b\"}\n\
                        {\"reason\":\"compiler-artifact\",\"package_id\":\"p#a@1\",\"executable\":null}\nnoise\n";
        let names = test_binaries(messages);
        assert_eq!(names["tenure_core-0a"], "tenure-core");
        assert_eq!(names["xtask-1b"], "xtask");
        assert_eq!(names.len(), 2);
    }

    /// Tests that could not run at all are a failure of their suite, not an empty success.
    #[test]
    fn a_suite_that_could_not_run_has_failed() {
        let mut run = Run { report: Report::default(), stores: None, started: Started::now(), step: 0, steps: 1 };
        let ran = StepResult {
            ok: false,
            ended: "exit status: 101".to_owned(),
            output: "error: could not compile".to_owned(),
            log: "tests.log".into(),
            took: Duration::ZERO,
        };
        run.crates("tests", &ran, ByCrate::new());
        assert!(!run.report.is_green());
    }
}
