//! The input of the measurement: one chat, as lines and as messages, and its channel, subjects and lease.

use anyhow::{Context, Result};
use bytes::Bytes;
use tenure_bus::Message;
use tenure_envelope::Builder;

use crate::channels::in_channel;
use crate::corpus::Corpus;
use crate::envelope::is_message;
use crate::sqlite::{message, with_id};

pub(super) const CHANNEL: &str = "bench";
pub(super) const INGRESS: &str = "internal.ingress.v1";
pub(super) const FINALIZE: &str = "internal.finalize.v1";
pub(super) const KEY: &str = "system/ircLeader";

/// One chat, as lines and as the messages that the lines become.
pub(super) struct Chat {
    /// All lines as they come over the socket.
    pub(super) lines: Bytes,
    pub(super) messages: Vec<Message>,
}

/// Makes this many lines of one channel, each with an id of its own.
pub(super) fn chat(lines: &[String], count: usize) -> Result<Chat> {
    let messages: Vec<String> = lines
        .iter()
        .filter(|line| is_message(line) && line.contains(";id=") && line.contains("tmi-sent-ts="))
        .map(|line| in_channel(line, &format!("#{CHANNEL}")))
        .collect();
    let corpus = Corpus::of(&messages)?;
    let (mut builder, mut text, mut made) = (Builder::new(), String::new(), Vec::with_capacity(count));
    let lines: Vec<&str> = corpus.lines().collect();
    for (number, line) in lines.iter().cycle().take(count).enumerate() {
        let line = with_id(line, number);
        made.push(message(&mut builder, &line).context("a PRIVMSG without an envelope")?);
        text.push_str(&line);
        text.push_str("\r\n");
    }
    Ok(Chat { lines: text.into(), messages: made })
}
