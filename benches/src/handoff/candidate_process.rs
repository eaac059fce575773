//! One candidate in a process of its own: it is told `campaign` and `release` on stdin, and answers `elected` and
//! `released` with the time of each, on the clock that all processes share.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::candidate::Candidate;
use super::{advisory, bare, ours, rslock};
use crate::clock::shared_ns;

/// The command that starts this program as one candidate of that kind.
///
/// # Errors
/// Where this program cannot be found.
pub(crate) fn command(kind: &str, url: &str, key: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.args(["candidate", kind, url, key]);
    Ok(command)
}

/// Runs until the end of stdin. All kinds run on the same kind of runtime, and with their defaults where no ttl is given.
///
/// # Errors
/// Where the candidate fails.
pub(crate) fn run(kind: &str, url: &str, key: &str, ttl: Option<Duration>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match kind {
            "ours" => serve(ours::Ours::start(url, key, ttl).await?).await,
            "bare" => serve(bare::Bare::start(url, key).await?).await,
            "advisory" => serve(advisory::Advisory::start(url, key).await?).await,
            "rslock" => serve(rslock::Rslock::start(url, key, ttl)).await,
            _ => bail!("no candidate {kind:?}"),
        }
    })
}

async fn serve(mut candidate: impl Candidate) -> Result<()> {
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    println!("ready 0");
    let mut holds = false;
    loop {
        let command = tokio::select! {
            command = commands.next_line() => command?,
            kept = candidate.keep(), if holds => {
                kept?;
                continue;
            }
        };
        let Some(command) = command else { return Ok(()) };
        holds = command == "campaign";
        if holds {
            candidate.campaign().await?;
            println!("elected {}", shared_ns());
        } else {
            let at = shared_ns();
            candidate.release().await?;
            println!("released {at}");
        }
    }
}
