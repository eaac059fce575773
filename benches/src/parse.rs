//! From one line to one message: ours beside `tmi` and `twitch-irc`.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;

use crate::clock::thread_cpu;
use crate::corpus::Corpus;
use crate::pairs::{self, Batch, Effort};
use crate::report::{Report, Row, Target};

/// The name of the group.
pub(crate) const GROUP: &str = "parse";

/// Measures on the lines that all three parsers accept.
///
/// # Errors
/// Where there is no such line.
pub(crate) fn measure(report: &mut Report, effort: Effort, lines: &[String]) -> Result<()> {
    let taken: Vec<String> = lines.iter().filter(|line| all_take(line)).cloned().collect();
    let corpus = Corpus::of(&taken)?;
    let note = format!(
        "{} of {} different lines, the others are refused by one of the three; {} bytes a line. Ours walks every tag, as tmi's does while it parses",
        taken.len(),
        lines.len(),
        corpus.mean_len()
    );
    let tmi = pairs::compare(effort, |least| ours(&corpus, least), |least| tmi(&corpus, least))?;
    let target = Some(Target { goal: 1.0, at_least: 0.9 });
    report.rows.push(Row::of_time(GROUP, "parse one line", "tmi 0.10 raw", tmi, target).noting(note));

    let twitch_irc = pairs::compare(effort, |least| ours(&corpus, least), |least| twitch_irc(&corpus, least))?;
    let target = Some(Target { goal: 14.0, at_least: 12.0 });
    report.rows.push(Row::of_time(GROUP, "parse one line", "twitch-irc 6.1 raw", twitch_irc, target));

    let read = pairs::compare(effort, |least| ours_read(&corpus, least), |least| tmi_read(&corpus, least))?;
    report.rows.push(
        Row::of_time(GROUP, "parse one line, look at every part", "tmi 0.10 raw", read, None)
            .noting("both visit every tag's key and value, the sender, the channel and the text"),
    );
    Ok(())
}

fn all_take(line: &str) -> bool {
    tenure_irc::parse(line.as_bytes()).is_ok()
        && tmi::IrcMessageRef::parse(line).is_some()
        && twitch_irc::message::IRCMessage::parse(line).is_ok()
}

fn ours(corpus: &Corpus, least: Duration) -> Result<Batch> {
    each_line(corpus, least, |line| {
        let Ok(message) = tenure_irc::parse(black_box(line.as_bytes())) else { return 0 };
        black_box(&message);
        // Tags are found while they are iterated: without this loop the parser would have looked at half of the line
        // only.
        message.tags().fold(0, |sum, tag| {
            black_box(&tag);
            sum + 1
        })
    })
}

fn tmi(corpus: &Corpus, least: Duration) -> Result<Batch> {
    each_line(corpus, least, |line| {
        let message = tmi::IrcMessageRef::parse(black_box(line));
        usize::from(black_box(&message).is_some())
    })
}

fn twitch_irc(corpus: &Corpus, least: Duration) -> Result<Batch> {
    each_line(corpus, least, |line| {
        let message = twitch_irc::message::IRCMessage::parse(black_box(line));
        usize::from(black_box(&message).is_ok())
    })
}

fn ours_read(corpus: &Corpus, least: Duration) -> Result<Batch> {
    each_line(corpus, least, |line| {
        let Ok(message) = tenure_irc::parse(black_box(line.as_bytes())) else { return 0 };
        let tags = message.tags().fold(0, |sum, tag| sum + tag.key.len() + tag.value.map_or(0, <[u8]>::len));
        let sender = message.prefix().map_or(0, |prefix| prefix.name.len());
        tags + sender + message.channel().map_or(0, <[u8]>::len) + message.text().map_or(0, <[u8]>::len)
    })
}

fn tmi_read(corpus: &Corpus, least: Duration) -> Result<Batch> {
    each_line(corpus, least, |line| {
        let Some(message) = tmi::IrcMessageRef::parse(black_box(line)) else { return 0 };
        let tags = message.tags().fold(0, |sum, (key, value)| sum + key.len() + value.len());
        let sender = message.prefix().and_then(|prefix| prefix.nick).map_or(0, str::len);
        tags + sender + message.channel().map_or(0, str::len) + message.text().map_or(0, str::len)
    })
}

fn each_line(corpus: &Corpus, least: Duration, mut parse: impl FnMut(&str) -> usize) -> Result<Batch> {
    pairs::until(thread_cpu, least, |number| {
        let mut lines = 0;
        for line in corpus.chunk(number) {
            black_box(parse(line));
            lines += 1;
        }
        Ok(lines)
    })
}
