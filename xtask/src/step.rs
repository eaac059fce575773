//! Runs one step: a command with its log, a heartbeat and a time limit.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::{Started, minutes};
use crate::root;

/// How often a running step says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How much of a failed step's log is shown.
const SHOWN_LINES: usize = 60;

/// The result of a step.
#[derive(Debug)]
pub(crate) struct StepResult {
    /// Whether the command ended with status 0 in its time.
    pub(crate) ok: bool,
    /// How it ended, in words.
    pub(crate) ended: String,
    /// Everything it printed.
    pub(crate) output: String,
    /// The file of that output.
    pub(crate) log: PathBuf,
    /// How long it took.
    pub(crate) took: Duration,
}

impl StepResult {
    /// The log's path, as one would type it in the root folder.
    pub(crate) fn log_name(&self) -> String {
        self.log.strip_prefix(root::root()).unwrap_or(&self.log).display().to_string()
    }

    /// Prints the end of the log.
    pub(crate) fn show_end(&self) {
        let lines: Vec<&str> = self.output.lines().collect();
        self.show(&lines[lines.len().saturating_sub(SHOWN_LINES)..]);
    }

    /// Prints these lines and where the rest is.
    pub(crate) fn show(&self, lines: &[impl std::fmt::Display]) {
        for line in lines {
            eprintln!("    | {line}");
        }
        eprintln!("    whole log: {}", self.log_name());
    }
}

/// Runs a command to its end or to the limit; both streams go to `target/xtask/NAME.log`.
///
/// # Errors
/// Only where the log cannot be written or the program not be started.
pub(crate) fn run(name: &str, command: &mut Command, limit: Duration) -> Result<StepResult> {
    let log = root::logs()?.join(format!("{name}.log"));
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let both = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    let started = Started::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let ended = wait(&mut child, started, limit, &log)?;
    let bytes = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    Ok(StepResult { ok: ended.is_none(), ended: ended.unwrap_or_default(), output, log, took: started.elapsed() })
}

/// Waits for the child and prints a heartbeat; returns `None` when it ended well, else how it ended.
fn wait(child: &mut Child, started: Started, limit: Duration, log: &Path) -> Result<Option<String>> {
    let mut spoken = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the command")? {
            return Ok((!status.success()).then(|| status.to_string()));
        }
        let elapsed = started.elapsed();
        if elapsed > limit {
            stop(child);
            return Ok(Some(format!("stopped: not done after {}", minutes(limit))));
        }
        if elapsed - spoken >= HEARTBEAT {
            spoken = elapsed;
            eprintln!("          {} {}", minutes(elapsed), last_line(log));
            _ = std::io::stderr().flush();
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Ends the child: first by SIGTERM, which cargo and nextest pass on to the processes that they started, then by
/// SIGKILL.
fn stop(child: &mut Child) {
    _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
    for _ in 0..100 {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    _ = child.kill();
    _ = child.wait();
}

/// The last line of the log that is not empty, cut to fit a terminal.
fn last_line(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or_default()
            .chars()
            .take(90)
            .collect())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of both streams is kept, and the status decides.
    #[test]
    fn a_step_keeps_what_the_command_prints() {
        let mut command = root::command("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let ran = run("test-of-step-output", &mut command, Duration::from_secs(30)).unwrap();
        assert!(!ran.ok);
        assert!(ran.output.contains("out") && ran.output.contains("err"), "{}", ran.output);
        assert!(ran.ended.contains('3'), "{}", ran.ended);
    }

    /// A command that does not end is stopped at its limit.
    #[test]
    fn a_step_ends_at_its_limit() {
        let mut command = root::command("sleep");
        command.arg("600");
        let ran = run("test-of-step-limit", &mut command, Duration::from_millis(300)).unwrap();
        assert!(!ran.ok);
        assert!(ran.ended.starts_with("stopped"), "{}", ran.ended);
        assert!(ran.took < Duration::from_secs(60));
    }
}
