//! One candidate as a process: ours or a peer's, told on its input or started for each campaign.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::shared_ns;

/// How a candidate is told what to do, and how it answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// One process that is told `campaign` and `release` on its input and answers with moments: see
    /// `handoff/candidate_process.rs`.
    Told,
    /// A process for each campaign. The first line that contains `elected` says that it was; the signal makes it release.
    Started {
        /// A part of that line.
        elected: &'static str,
        /// The signal.
        release: Signal,
    },
}

/// How long a candidate may take to start, or to win where nobody holds the lease.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// One candidate. Its process is killed when this is dropped.
pub(super) struct Contender<'a> {
    command: Box<dyn Fn() -> Result<Command> + 'a>,
    manner: Manner,
    process: Option<Process>,
}

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    /// What it printed, and when that was read.
    lines: Receiver<(u64, String)>,
    /// The last that it complained of.
    complaint: Arc<Mutex<String>>,
}

impl<'a> Contender<'a> {
    /// Starts it, where it is one that is told.
    pub(super) fn start(manner: Manner, command: impl Fn() -> Result<Command> + 'a) -> Result<Self> {
        let mut contender = Self { command: Box::new(command), manner, process: None };
        if matches!(manner, Manner::Told) {
            contender.process = Some(Process::start((contender.command)()?)?);
            contender.hear("ready", PATIENCE)?.context("it does not come up")?;
        }
        Ok(contender)
    }

    /// Makes it want the lease.
    pub(super) fn campaign(&mut self) -> Result<()> {
        match self.manner {
            Manner::Told => self.tell("campaign"),
            Manner::Started { .. } => {
                // What it was before has been told to end; two of them would count as two candidates.
                if let Some(mut last) = self.process.take() {
                    last.child.wait()?;
                }
                self.process = Some(Process::start((self.command)()?)?);
                Ok(())
            }
        }
    }

    /// The moment at which it was elected; `None` where it was not so within this time.
    pub(super) fn elected(&mut self, within: Duration) -> Result<Option<u64>> {
        match self.manner {
            Manner::Told => self.hear("elected", within),
            Manner::Started { elected, .. } => self.hear(elected, within),
        }
    }

    /// Makes it release the lease; the moment before it did so.
    pub(super) fn release(&mut self) -> Result<u64> {
        match self.manner {
            Manner::Told => {
                self.tell("release")?;
                self.hear("released", PATIENCE)?.context("it does not release")
            }
            Manner::Started { release, .. } => {
                let at = shared_ns();
                self.signal(release)?;
                Ok(at)
            }
        }
    }

    /// Sends its process a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        let pid = Pid::from_raw(i32::try_from(process.child.id())?).context("no process")?;
        kill_process(pid, signal).context("cannot signal it")
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let process = self.process.as_mut().context("it does not run")?;
        let input = process.input.as_mut().context("no input")?;
        writeln!(input, "{word}").map_err(|_| process.ended())
    }

    /// The moment that is told with this word, or else of the line that contains it.
    fn hear(&mut self, wanted: &str, within: Duration) -> Result<Option<u64>> {
        let process = self.process.as_ref().context("it does not run")?;
        let give_up = shared_ns() + u64::try_from(within.as_nanos())?;
        loop {
            let left = Duration::from_nanos(give_up.saturating_sub(shared_ns()));
            match process.lines.recv_timeout(left) {
                Ok((read, line)) if line.contains(wanted) => return Ok(Some(told(&line).unwrap_or(read))),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(process.ended()),
            }
        }
    }
}

/// The moment in `WORD NANOSECONDS`, or in the member `at_ns` of a JSON object.
fn told(line: &str) -> Option<u64> {
    match serde_json::from_str::<serde_json::Value>(line) {
        Ok(object) => object.get("at_ns")?.as_u64(),
        Err(_) => line.split_once(' ')?.1.trim().parse().ok(),
    }
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().with_context(|| format!("cannot start {name}"))?;
        let input = child.stdin.take();
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            bail!("{name}: no output")
        };
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send((shared_ns(), line)).is_err() {
                    return;
                }
            }
        });
        let complaint = Arc::new(Mutex::new(String::new()));
        let last = Arc::clone(&complaint);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
            }
        });
        Ok(Self { child, input, lines, complaint })
    }

    fn ended(&self) -> anyhow::Error {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::anyhow!("a candidate has ended: {complaint:?}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process dies of it as well.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments are told in two ways; a line without one counts from when it was read.
    #[test]
    fn moments_are_read() {
        assert_eq!(told("elected 12"), Some(12));
        assert_eq!(told(r#"{"at_ns":34,"event":"leading"}"#), Some(34));
        assert_eq!(told("bench/1/694d8f"), None);
    }

    /// What is said first and is not asked for is passed over; a candidate that says nothing was not elected; one that has
    /// ended is an error with what it complained of.
    #[test]
    fn a_contender_is_heard() {
        let shell = |script: &'static str| {
            move || {
                let mut command = Command::new("sh");
                command.args(["-c", script]);
                Ok(command)
            }
        };
        let manner = Manner::Started { elected: "mine", release: Signal::TERM };
        let mut one = Contender::start(manner, shell("echo other 1; echo mine; exec sleep 60")).unwrap();
        one.campaign().unwrap();
        assert!(one.elected(PATIENCE).unwrap().is_some());
        assert!(one.elected(Duration::from_millis(50)).unwrap().is_none());
        one.release().unwrap();
        let mut two = Contender::start(manner, shell("echo no such server >&2; exit 1")).unwrap();
        two.campaign().unwrap();
        let why = two.elected(PATIENCE).unwrap_err().to_string();
        assert!(why.contains("has ended"), "{why}");
    }
}
