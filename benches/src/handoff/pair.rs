//! Two processes that hand one lock or lease to each other, back and forth.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the waiting candidate waits before each release, at least; at most twice as long, so that no peer's polling
/// falls into step.
const SETTLE: Duration = Duration::from_millis(40);

/// Two candidates, the first of which holds the lock or lease.
pub(crate) struct Pair {
    holder: Process,
    other: Process,
    handoffs: u64,
}

impl Pair {
    /// Starts both and lets one acquire it.
    ///
    /// # Errors
    /// Where they do not come up.
    pub(crate) fn start(mut command: impl FnMut() -> Result<Command>) -> Result<Self> {
        let (mut holder, other) = (Process::start(command()?)?, Process::start(command()?)?);
        holder.tell("campaign")?;
        holder.hear("elected")?;
        Ok(Self { holder, other, handoffs: 0 })
    }

    /// Does blocks of handoffs and returns the milliseconds that each handoff took.
    pub(crate) fn blocks(&mut self) -> impl FnMut(usize) -> Result<Vec<f64>> {
        |times| (0..times).map(|_| self.hand_over()).collect()
    }

    fn hand_over(&mut self) -> Result<f64> {
        self.other.tell("campaign")?;
        self.handoffs += 1;
        std::thread::sleep(SETTLE + SETTLE * u32::try_from(self.handoffs * 617 % 1000)? / 1000);
        self.holder.tell("release")?;
        let released = self.holder.hear("released")?;
        let elected = self.other.hear("elected")?;
        if elected < released {
            bail!("elected before the release: two had it at a time");
        }
        std::mem::swap(&mut self.holder, &mut self.other);
        Ok((elected - released) as f64 / 1e6)
    }
}

/// One candidate's process; it ends when its input ends.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut process = Self { child, input, output };
        process.hear("ready")?;
        Ok(process)
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let input = self.input.as_mut().context("no input")?;
        writeln!(input, "{word}").context("a candidate has ended")
    }

    /// The time of the next line that the candidate prints, which must be `wanted`.
    fn hear(&mut self, wanted: &str) -> Result<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match line.split_once(' ') {
            Some((word, at)) if word == wanted => Ok(at.trim().parse()?),
            _ => bail!("a candidate said {line:?} in place of {wanted}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        // A candidate that still campaigns does not read its input, so it is killed.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
