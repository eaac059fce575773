//! Runs one step: a command with its log, a heartbeat and a time limit.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, PipeReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::{Started, minutes};
use crate::live::Live;
use crate::progress::Progress;
use crate::{processes, root};

/// How long the output of a command that has ended is waited for: processes that it left behind may hold it open.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// A longer line is read in pieces.
const LONGEST_LINE: usize = 1 << 20;
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

/// Runs a command to its end or to the limit; both streams go to `target/xtask/NAME.log`, and its progress to standard error.
///
/// # Errors
/// Only where the log cannot be written or the program not be started.
pub(crate) fn run(name: &str, command: &mut Command, limit: Duration) -> Result<StepResult> {
    let log = root::logs()?.join(format!("{name}.log"));
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let (output, ours) = std::io::pipe().context("cannot make a pipe")?;
    let both = ours.try_clone().context("cannot make a pipe")?;
    let started = Started::now();
    // cargo draws its bar, which counts the crates, even where there is no terminal.
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "200");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(ours)
        .stderr(both)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    // The command keeps its ends of the pipe open, and the output would not end before it.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let progress = Arc::new(Mutex::new(Progress::default()));
    let reader = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || read(output, file, &progress))
    };
    let ended = wait(&mut child, started, limit, &progress)?;
    let mut waited = Duration::ZERO;
    while !reader.is_finished() && waited < LAST_OUTPUT {
        thread::sleep(Duration::from_millis(10));
        waited += Duration::from_millis(10);
    }
    let bytes = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    Ok(StepResult { ok: ended.is_none(), ended: ended.unwrap_or_default(), output, log, took: started.elapsed() })
}

/// Copies the output into the log, without what was to be written over on a terminal, and follows the progress in it.
fn read(output: PipeReader, mut log: File, progress: &Mutex<Progress>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        let buffer = match output.fill_buf() {
            Ok([]) => break,
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let count = buffer.len();
        for byte in buffer {
            line.push(*byte);
            if matches!(byte, b'\r' | b'\n') || line.len() >= LONGEST_LINE {
                let was_bar =
                    progress.lock().unwrap_or_else(PoisonError::into_inner).take(&String::from_utf8_lossy(&line));
                if *byte != b'\r' || !was_bar {
                    _ = log.write_all(&line);
                }
                line.clear();
            }
        }
        output.consume(count);
    }
    _ = log.write_all(&line);
}

/// Waits for the child and tells its progress; returns `None` when it ended well, else how it ended.
fn wait(child: &mut Child, started: Started, limit: Duration, progress: &Mutex<Progress>) -> Result<Option<String>> {
    let mut live = Live::start();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the command")? {
            return Ok((!status.success()).then(|| status.to_string()));
        }
        let elapsed = started.elapsed();
        if elapsed > limit {
            stop(child);
            return Ok(Some(format!("stopped: not done after {}", minutes(limit))));
        }
        if live.is_due(elapsed) {
            let now = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
            live.tell(elapsed, &now.show(&processes::tests_below(child.id())));
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
