//! Our side of the connections: the reader, idle and listening.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tenure_twitch::{Reader, ReaderConfig, ReaderEvent};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::{Idle, anonymous_bytes, raise_open_files};
use crate::clock::process_cpu;

/// What a reader of many channels cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Listened {
    /// From the start until every channel was joined, connections included.
    pub(crate) join_ns: f64,
    /// Growth of memory when every channel was joined.
    pub(crate) bytes: f64,
    /// From the first to the last line that was received.
    pub(crate) lines_ns: f64,
    /// How many lines that were.
    pub(crate) lines: u64,
}

/// Opens the connections, each with one channel joined, and returns how much memory they took.
///
/// # Errors
/// Where not all of them come up.
pub(crate) fn hold(port: u16, ca: &Path, connections: usize) -> Result<Idle> {
    let config = config(port, ca, connections, 1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let mut idle = Idle::before(connections)?;
        let (reader, mut events) = Reader::start(config)?;
        joined(&mut events, connections).await?;
        idle.after().await?;
        drop(reader);
        Ok(idle)
    })
}

/// Joins the channels, says `ready`, and receives the lines that the server then sends on each connection.
///
/// # Errors
/// Where not all channels come up, or lines are missing.
pub(crate) fn listen(port: u16, ca: &Path, channels: usize, lines_each: u64) -> Result<Listened> {
    let config = config(port, ca, channels, 90)?;
    let connections = channels.div_ceil(config.channels_per_connection) as u64;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let (from, before) = (process_cpu(), anonymous_bytes()?);
        let (reader, mut events) = Reader::start(config)?;
        joined(&mut events, channels).await?;
        let join = process_cpu().saturating_sub(from);
        let bytes = anonymous_bytes()?.saturating_sub(before) as f64;

        println!("ready");
        let wanted = lines_each * connections;
        let (mut lines, mut from, mut until) = (0, Duration::ZERO, Duration::ZERO);
        while lines < wanted {
            let event = timeout(Duration::from_secs(30), events.recv()).await.context("lines are missing")?;
            let Some(event) = event else { bail!("the reader has ended") };
            // The room's state after a JOIN is a line too, and none of those that were requested.
            if let ReaderEvent::Line { line, .. } = event
                && is_message(&line)
            {
                lines += 1;
                if lines == 1 {
                    from = process_cpu();
                } else if lines == wanted {
                    until = process_cpu();
                }
            }
        }
        drop(reader);
        let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
        Ok(Listened { join_ns: nanoseconds(join), bytes, lines_ns: nanoseconds(until.saturating_sub(from)), lines })
    })
}

fn config(port: u16, ca: &Path, channels: usize, per_connection: usize) -> Result<ReaderConfig> {
    Ok(ReaderConfig {
        url: format!("ircs://127.0.0.1:{port}").parse()?,
        ca_file: Some(ca.to_owned()),
        channels: (0..channels).map(|number| format!("channel{number}")).collect(),
        join_budget: (u32::MAX, Duration::from_secs(1)),
        // Connected one after the other, because the memory of a handshake is reused by the next, as with the peer.
        auth_budget: (1, Duration::from_millis(2)),
        channels_per_connection: per_connection,
        ..ReaderConfig::default()
    })
}

/// Waits until every channel is joined.
async fn joined(events: &mut Receiver<ReaderEvent>, channels: usize) -> Result<()> {
    let mut left = channels;
    while left > 0 {
        let event = timeout(Duration::from_secs(30), events.recv()).await.context("channels are not joined in time")?;
        match event {
            Some(ReaderEvent::Joined { .. }) => left -= 1,
            Some(ReaderEvent::Disconnected { reason, .. }) => bail!("a connection was lost: {reason}"),
            Some(_) => {}
            None => bail!("the reader has ended"),
        }
    }
    Ok(())
}

fn is_message(line: &[u8]) -> bool {
    tenure_irc::parse(line).is_ok_and(|message| message.command() == b"PRIVMSG")
}
