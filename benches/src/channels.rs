//! What a line costs when the lines come from 10 channels, and when they come from 1,000.

use std::hint::black_box;

use anyhow::Result;
use tenure_envelope::Builder;

use crate::clock::thread_cpu;
use crate::corpus::Corpus;
use crate::envelope::{build, is_message};
use crate::memory::Server;
use crate::memory::ours::Listened;
use crate::pairs::{self, Effort};
use crate::report::{Point, Report};

/// The name of the group.
pub(crate) const GROUP: &str = "channels";
const CURVE: &[usize] = &[10, 30, 100, 300, 1_000];

/// Measures each point of the curve, round by round, so that other load on the machine affects all points alike.
///
/// # Errors
/// Where there is no line to measure.
pub(crate) fn measure(report: &mut Report, effort: Effort, lines: &[String]) -> Result<()> {
    let messages: Vec<String> = lines.iter().filter(|line| is_message(line)).cloned().collect();
    let mut corpora = Vec::new();
    for &channels in CURVE {
        corpora.push((channels, Corpus::of(&spread_over(&messages, channels))?, Vec::new()));
    }
    for _ in 0..effort.pairs {
        for (_, corpus, costs) in &mut corpora {
            let (mut builder, mut out) = (Builder::new(), Vec::new());
            let batch = pairs::until(thread_cpu, effort.batch / 2, |number| {
                let mut count = 0;
                for line in corpus.chunk(number) {
                    out.clear();
                    black_box(build(&mut builder, line, &mut out));
                    count += 1;
                }
                Ok(count)
            })?;
            costs.push(batch.cost / batch.things as f64);
        }
    }
    let mut readers = Vec::new();
    for &channels in CURVE {
        readers.push(reader(effort, channels)?);
    }
    for ((channels, _, costs), reader) in corpora.into_iter().zip(readers) {
        report.channels.push(Point { channels, envelope_ns_per_line: pairs::spread(costs).median, ..reader });
    }
    Ok(())
}

/// Measures a reader of this many channels, up to 90 a connection, against the local TLS server.
fn reader(effort: Effort, channels: usize) -> Result<Point> {
    let total = if effort.pairs < Effort::FULL.pairs { 5_000 } else { 200_000 };
    let connections = channels.div_ceil(90) as u64;
    let (mut lines, mut joins, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    // Each run has a server of its own, so that none is affected by what another has left behind.
    for _ in 0..effort.pairs.div_ceil(3) {
        let each = total / connections;
        let more = [channels.to_string(), each.to_string()];
        let listened: Listened = Server::start()?.listener("listen", &[more[0].as_str(), more[1].as_str()], each)?;
        lines.push(listened.lines_ns / listened.lines as f64);
        joins.push(listened.join_ns / channels as f64 / 1_000.0);
        bytes.push(listened.bytes / channels as f64);
    }
    Ok(Point {
        channels,
        envelope_ns_per_line: 0.0,
        reader_ns_per_line: pairs::spread(lines).median,
        join_us_per_channel: pairs::spread(joins).median,
        reader_bytes_per_channel: pairs::spread(bytes).median,
    })
}

/// The lines spread over this many channels, each of which gets about as many lines.
fn spread_over(messages: &[String], channels: usize) -> Vec<String> {
    let copies = channels.div_ceil(messages.len().max(1)).max(1);
    let all = messages.iter().cycle().take(messages.len() * copies);
    all.enumerate().map(|(number, line)| in_channel(line, &format!("#channel_{}", number % channels))).collect()
}

/// The line as if it came from that channel.
pub(crate) fn in_channel(line: &str, channel: &str) -> String {
    match line.split_once(" PRIVMSG #") {
        Some((before, rest)) => {
            let after = rest.find(' ').map_or("", |at| &rest[at..]);
            format!("{before} PRIVMSG {channel}{after}")
        }
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every channel comes up, and the text stays.
    #[test]
    fn lines_are_spread_over_all_channels() {
        let lines = vec!["@id=1 :a!a@a PRIVMSG #room :hi #room".to_owned(); 3];
        let spread = spread_over(&lines, 10);
        for channel in 0..10 {
            let wanted = format!("@id=1 :a!a@a PRIVMSG #channel_{channel} :hi #room");
            assert!(spread.contains(&wanted), "{wanted}");
        }
    }
}
