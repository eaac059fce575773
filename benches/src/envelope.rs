//! From one line to one envelope's bytes: ours beside `tmi` with serde_json, and beside @twurple/chat on Node.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tenure_envelope::Builder;

use crate::clock::thread_cpu;
use crate::corpus::Corpus;
use crate::node::Node;
use crate::pairs::{self, Batch, Effort};
use crate::report::{Report, Row, Target};
use crate::tmi_envelope::TmiBuilder;

/// The name of the group.
pub(crate) const GROUP: &str = "envelope";
/// Every line was received at this moment.
pub(crate) const RECEIVED_AT_MS: i64 = 1_763_744_520_007;

/// Measures on the PRIVMSG lines whose envelopes are the same, member by member, from all sides.
///
/// # Errors
/// Where no line is left, or Node fails.
pub(crate) fn measure(report: &mut Report, effort: Effort, lines: &[String], node: Option<&Path>) -> Result<()> {
    let messages: Vec<String> = lines.iter().filter(|line| is_message(line)).cloned().collect();
    let (same, differ) = same_as_tmi(&messages)?;
    let corpus = Corpus::of(&same)?;
    let target = Some(Target { goal: 2.0, at_least: 1.5 });
    let note = format!(
        "{} of {} different PRIVMSG lines have the same envelope from both, {differ} differ or are refused by the peer and are not measured; {} bytes a line",
        same.len(),
        messages.len(),
        corpus.mean_len()
    );
    let compared = pairs::compare(effort, |least| ours(&corpus, least), |least| tmi(&corpus, least))?;
    report
        .rows
        .push(Row::of_time(GROUP, "line to envelope bytes", "tmi 0.10 + serde_json", compared, target).noting(note));

    let Some(folder) = node else {
        report
            .left_out
            .push("line to envelope bytes beside @twurple/chat: Node 20 with its packages is not there".to_owned());
        return Ok(());
    };
    let (same, differ) = same_as_node(folder, &same)?;
    let corpus = Corpus::of(&same)?;
    let repeated: Vec<String> = corpus.lines().map(str::to_owned).collect();
    let mut node = Node::start(folder, &repeated, RECEIVED_AT_MS, &namespace())?;
    // Node's compiler needs more than one batch to see which functions are hot.
    node.run(effort.batch * 4)?;
    let compared = pairs::compare(effort, |least| ours(&corpus, least), |least| node.run(least))?;
    let target = Some(Target { goal: 30.0, at_least: 20.0 });
    let note = format!("{} lines as above, {differ} more differ and are not measured", same.len());
    report.rows.push(
        Row::of_time(GROUP, "line to envelope bytes", "@twurple/chat 8.2 + JSON.stringify, Node", compared, target)
            .noting(note),
    );
    Ok(())
}

/// Appends our envelope; false where the line has none.
pub(crate) fn build(builder: &mut Builder, line: &str, out: &mut Vec<u8>) -> bool {
    let Ok(message) = tenure_irc::parse(line.as_bytes()) else { return false };
    builder.build(&message, RECEIVED_AT_MS.unsigned_abs(), out).is_some()
}

/// Whether our parser takes the line for a message in a channel.
pub(crate) fn is_message(line: &str) -> bool {
    tenure_irc::parse(line.as_bytes()).is_ok_and(|message| message.command() == b"PRIVMSG")
}

fn ours(corpus: &Corpus, least: Duration) -> Result<Batch> {
    let (mut builder, mut out) = (Builder::new(), Vec::new());
    each_line(corpus, least, |line| {
        out.clear();
        build(&mut builder, black_box(line), &mut out);
        black_box(out.len())
    })
}

fn tmi(corpus: &Corpus, least: Duration) -> Result<Batch> {
    let (mut builder, mut out) = (TmiBuilder::new(tenure_envelope::NAMESPACE), Vec::new());
    each_line(corpus, least, |line| {
        out.clear();
        black_box(builder.build(black_box(line), RECEIVED_AT_MS, &mut out));
        black_box(out.len())
    })
}

fn each_line(corpus: &Corpus, least: Duration, mut make: impl FnMut(&str) -> usize) -> Result<Batch> {
    pairs::until(thread_cpu, least, |number| {
        let mut lines = 0;
        for line in corpus.chunk(number) {
            black_box(make(line));
            lines += 1;
        }
        Ok(lines)
    })
}

/// The lines whose envelopes are equal as JSON, and how many others there are.
fn same_as_tmi(lines: &[String]) -> Result<(Vec<String>, usize)> {
    let mut peer = TmiBuilder::new(tenure_envelope::NAMESPACE);
    keep_same(lines, |_, line| {
        let mut out = Vec::new();
        peer.build(line, RECEIVED_AT_MS, &mut out).map(|()| out)
    })
}

fn same_as_node(folder: &Path, lines: &[String]) -> Result<(Vec<String>, usize)> {
    let shown = Node::start(folder, lines, RECEIVED_AT_MS, &namespace())?.show()?;
    keep_same(lines, |number, _| shown.get(number).cloned().flatten().map(String::into_bytes))
}

fn keep_same(lines: &[String], mut peer: impl FnMut(usize, &str) -> Option<Vec<u8>>) -> Result<(Vec<String>, usize)> {
    let mut builder = Builder::new();
    let mut same = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let mut out = Vec::new();
        if !build(&mut builder, line, &mut out) {
            continue;
        }
        let ours: Value = serde_json::from_slice(&out).context("our envelope is not JSON")?;
        let theirs = peer(number, line).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if theirs.as_ref() == Some(&ours) {
            same.push(line.clone());
        }
    }
    let differ = lines.len() - same.len();
    Ok((same, differ))
}

fn namespace() -> String {
    uuid::Uuid::from_bytes(tenure_envelope::NAMESPACE).hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peer makes the envelope that we make: a member that only one of them knew would leave nothing to measure.
    #[test]
    fn both_make_the_same_envelope() {
        let line = "@badges=subscriber/6;color=#1E90FF;display-name=Ann;emotes=25:0-4;id=b34ccfc7-4977-403a-8a94-33c6bac34fb8;\
                    mod=0;room-id=1337;subscriber=1;tmi-sent-ts=1763744520009;user-id=42 \
                    :ann!ann@ann.tmi.twitch.tv PRIVMSG #room :Kappa hello";
        let (same, differ) = same_as_tmi(&[line.to_owned()]).unwrap();
        assert_eq!((same.len(), differ), (1, 0));
    }
}
