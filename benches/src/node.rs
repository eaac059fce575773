//! The peer on Node: one process that stays warm and works on request.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::pairs::Batch;

/// The process.
pub(crate) struct Node {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The file of lines, which is removed with the process.
    _lines: tempfile::NamedTempFile,
}

#[derive(Deserialize)]
struct BatchResult {
    lines: u64,
    cpu_ns: f64,
}

impl Node {
    /// Starts the process on these lines.
    pub(crate) fn start(folder: &Path, lines: &[String], received_at_ms: i64, namespace: &str) -> Result<Self> {
        let file = tempfile::NamedTempFile::new().context("no temporary file")?;
        fs::write(file.path(), lines.join("\n") + "\n").context("cannot write the lines for Node")?;
        let mut child = Command::new("node")
            .arg(folder.join("peer.mjs"))
            .arg(file.path())
            .arg(received_at_ms.to_string())
            .arg(namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("node has no output")?);
        Ok(Self { child, commands, answers, _lines: file })
    }

    /// The envelope of every line; `None` where the peer makes none.
    pub(crate) fn show(&mut self) -> Result<Vec<Option<String>>> {
        self.ask("show")
    }

    /// Works for at least this much CPU time.
    pub(crate) fn run(&mut self, least: Duration) -> Result<Batch> {
        let ran: BatchResult = self.ask(&format!("run {}", least.as_millis()))?;
        Ok(Batch { things: ran.lines, cost: ran.cpu_ns })
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        let commands = self.commands.as_mut().context("node was stopped")?;
        writeln!(commands, "{command}").context("node has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("node has ended")?;
        serde_json::from_str(&line).with_context(|| format!("node did not answer {command:?}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The process ends when its input ends.
        self.commands = None;
        _ = self.child.wait();
    }
}
