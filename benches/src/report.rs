//! The results: as a table for people, as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::latency::{Latencies, Took};
use crate::pairs::{Compared, Spread};

/// What a row's ratio is compared with.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Target {
    /// The ratio that we aim at.
    pub(crate) goal: f64,
    /// The ratio that must be reached.
    pub(crate) at_least: f64,
}

/// How a row's costs are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Nanoseconds of CPU per line.
    NsPerLine,
    /// Nanoseconds that passed, per line or lease: where a server does a part of the work.
    WallNs,
    /// Bytes of resident memory per connection.
    BytesPerConnection,
}

/// One comparison of costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The group that it belongs to.
    pub(crate) group: &'static str,
    /// The operation that was measured.
    pub(crate) what: String,
    /// The peer.
    pub(crate) beside: String,
    /// What the costs count.
    pub(crate) unit: Unit,
    /// Our cost.
    pub(crate) ours: f64,
    /// The peer's cost.
    pub(crate) peer: f64,
    /// For times: how many times faster we are. For memory: our bytes divided by the peer's.
    pub(crate) ratio: f64,
    /// The least ratio of a pair.
    pub(crate) ratio_min: f64,
    /// The greatest ratio of a pair.
    pub(crate) ratio_max: f64,
    /// What the ratio is compared with; rows that only explain have no target.
    pub(crate) target: Option<Target>,
    /// A note for the reader.
    pub(crate) note: String,
}

impl Row {
    /// A row of CPU times: more is better.
    pub(crate) fn of_time(
        group: &'static str,
        what: &str,
        beside: &str,
        compared: Compared,
        target: Option<Target>,
    ) -> Self {
        Self {
            group,
            what: what.to_owned(),
            beside: beside.to_owned(),
            unit: Unit::NsPerLine,
            ours: compared.ours,
            peer: compared.peer,
            ratio: compared.ratio.median,
            ratio_min: compared.ratio.least,
            ratio_max: compared.ratio.most,
            target,
            note: String::new(),
        }
    }

    /// A row of throughput, by the time that passed: more is better.
    pub(crate) fn of_wall(group: &'static str, what: &str, beside: &str, compared: Compared, target: Target) -> Self {
        Self { unit: Unit::WallNs, ..Self::of_time(group, what, beside, compared, Some(target)) }
    }

    /// A row of memory: less is better, so the ratio is turned around.
    pub(crate) fn of_memory(group: &'static str, what: &str, beside: &str, compared: Compared, target: Target) -> Self {
        Self {
            unit: Unit::BytesPerConnection,
            ratio: 1.0 / compared.ratio.median,
            ratio_min: 1.0 / compared.ratio.most,
            ratio_max: 1.0 / compared.ratio.least,
            ..Self::of_time(group, what, beside, compared, Some(target))
        }
    }

    /// Adds a note.
    pub(crate) fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn verdict(&self) -> &'static str {
        let Some(target) = self.target else { return "" };
        let reaches = |wanted: f64| match self.unit {
            Unit::NsPerLine | Unit::WallNs => self.ratio >= wanted,
            Unit::BytesPerConnection => self.ratio <= wanted,
        };
        verdict(reaches(target.goal), reaches(target.at_least))
    }
}

fn verdict(goal: bool, at_least: bool) -> &'static str {
    match (goal, at_least) {
        (true, _) => "goal",
        (false, true) => "enough",
        (false, false) => "MISSED",
    }
}

/// What a wait is compared with.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// At most this many times as long as the peer.
    Slower {
        /// The factor that we aim at.
        goal: f64,
        /// The factor that must be reached.
        at_least: f64,
    },
    /// At least this many times faster than the peer.
    Faster {
        /// The factor that must be reached.
        at_least: f64,
    },
    /// A median of less than this many milliseconds.
    Under {
        /// The median that we aim at, where it is less than the one that must be reached.
        goal: Option<f64>,
        /// The median that must be reached.
        at_least: f64,
    },
    /// Less than this many milliseconds more than the peer.
    Above {
        /// The difference that must be reached.
        at_least: f64,
    },
}

/// How long an operation takes, beside how long a peer's takes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waited {
    /// The group that it belongs to.
    pub(crate) group: &'static str,
    /// The operation that was waited for.
    pub(crate) what: String,
    /// The peer.
    pub(crate) beside: String,
    /// How long ours took.
    pub(crate) ours: Took,
    /// How long the peer took, where it was measured.
    pub(crate) peer: Option<Took>,
    /// How many times as long as the peer ours took, block by block.
    pub(crate) ratio: Option<Spread>,
    /// How many milliseconds longer than the peer ours took, block by block.
    pub(crate) above_ms: Option<Spread>,
    /// What the wait is compared with.
    pub(crate) limit: Option<Limit>,
}

impl Waited {
    /// A row of blocks that were measured in turn.
    pub(crate) fn beside(
        group: &'static str,
        what: &str,
        beside: &str,
        ours: &Latencies,
        peer: &Latencies,
        limit: Option<Limit>,
    ) -> Self {
        Self {
            beside: beside.to_owned(),
            peer: Some(peer.took()),
            ratio: Some(ours.beside(peer)),
            above_ms: Some(ours.above(peer)),
            ..Self::alone(group, what, ours.took(), limit)
        }
    }

    /// A row without a peer that was measured.
    pub(crate) fn alone(group: &'static str, what: &str, ours: Took, limit: Option<Limit>) -> Self {
        let (what, beside) = (what.to_owned(), String::new());
        Self { group, what, beside, ours, peer: None, ratio: None, above_ms: None, limit }
    }

    /// What was compared, what we aim at, what must be reached, and the verdict.
    fn judged(&self) -> [String; 4] {
        let ratio = self.ratio.unwrap_or_default();
        let above = self.above_ms.unwrap_or_default();
        let (compared, goal, least, verdict) = match self.limit {
            None => (format!("{:.2} x", ratio.median), String::new(), String::new(), ""),
            Some(Limit::Slower { goal, at_least }) => (
                format!("**{:.2} x** as long ({:.2} to {:.2})", ratio.median, ratio.least, ratio.most),
                format!("{goal} x"),
                format!("{at_least} x"),
                verdict(ratio.median <= goal, ratio.median <= at_least),
            ),
            Some(Limit::Faster { at_least }) => (
                format!("**{:.1} x** faster ({:.1} to {:.1})", 1.0 / ratio.median, 1.0 / ratio.most, 1.0 / ratio.least),
                String::new(),
                format!("{at_least} x faster"),
                verdict(1.0 / ratio.median >= at_least, false),
            ),
            Some(Limit::Under { goal, at_least }) => {
                let median = self.ours.median_ms;
                let goal_text = goal.map_or_else(String::new, |goal| format!("under {goal} ms"));
                let verdict = verdict(median < goal.unwrap_or(at_least), median < at_least);
                (String::new(), goal_text, format!("under {at_least} ms"), verdict)
            }
            Some(Limit::Above { at_least }) => (
                format!("**{:+.1} ms** ({:+.1} to {:+.1})", above.median, above.least, above.most),
                String::new(),
                format!("under {at_least} ms more"),
                verdict(above.median < at_least, false),
            ),
        };
        [compared, goal, least, verdict.to_owned()]
    }
}

/// What holding a lease costs while nothing happens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idling {
    /// Which holder on which store, and how it was measured.
    pub(crate) what: String,
    /// How many seconds were measured, simulated or real; the figures are scaled to an hour.
    pub(crate) seconds: f64,
    /// Calls to the store in an hour.
    pub(crate) calls: f64,
    /// Wake-ups in an hour.
    pub(crate) wake_ups: f64,
    /// Seconds of CPU in an hour.
    pub(crate) cpu_seconds: f64,
}

/// One point of the curve over channels.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// How many channels the lines are spread over.
    pub(crate) channels: usize,
    /// CPU nanoseconds from line to envelope.
    pub(crate) envelope_ns_per_line: f64,
    /// CPU nanoseconds of a reader, from socket to received line.
    pub(crate) reader_ns_per_line: f64,
    /// CPU microseconds of a reader to join one channel.
    pub(crate) join_us_per_channel: f64,
    /// Memory of a reader for one channel, connections included.
    pub(crate) reader_bytes_per_channel: f64,
}

/// The results of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The machine, the corpus, and the number of pairs.
    pub(crate) circumstances: Vec<String>,
    /// The comparisons.
    pub(crate) rows: Vec<Row>,
    /// The waits.
    pub(crate) waits: Vec<Waited>,
    /// The costs of holding.
    pub(crate) idle: Vec<Idling>,
    /// The curve over channels.
    pub(crate) channels: Vec<Point>,
    /// Notes for the reader on the waits and on holding.
    pub(crate) notes: Vec<String>,
    /// The groups and rows that were left out, and why.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    /// The report as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for line in &self.circumstances {
            _ = writeln!(text, "- {line}");
        }
        if !self.rows.is_empty() {
            text.push_str("\n| what | beside | ours | peer | ratio | goal | at least | verdict |\n|---|---|---|---|---|---|---|---|\n");
        }
        for row in &self.rows {
            let cost = |cost: f64| match row.unit {
                Unit::NsPerLine => format!("{cost:.0} ns"),
                Unit::WallNs => format!("{cost:.0} ns passed"),
                Unit::BytesPerConnection => format!("{:.1} KiB", cost / 1024.0),
            };
            let (goal, least) = row.target.map_or_else(Default::default, |target| {
                (format!("{:?} x", target.goal), format!("{:?} x", target.at_least))
            });
            _ = writeln!(
                text,
                "| {} | {} | {} | {} | **{:.2} x** ({:.2} to {:.2}) | {goal} | {least} | {} |",
                row.what,
                row.beside,
                cost(row.ours),
                cost(row.peer),
                row.ratio,
                row.ratio_min,
                row.ratio_max,
                row.verdict(),
            );
        }
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            _ = write!(text, "\n{}, beside {}: {}\n", row.what, row.beside, row.note);
        }
        self.waits_markdown(&mut text);
        for note in &self.notes {
            _ = write!(text, "\n{note}\n");
        }
        if !self.channels.is_empty() {
            text.push_str(
                "\n| channels | line to envelope | socket to line | join one channel | memory per channel |\n|---:|---:|---:|---:|---:|\n",
            );
        }
        for point in &self.channels {
            _ = writeln!(
                text,
                "| {} | {:.0} ns | {:.0} ns | {:.1} us | {:.2} KiB |",
                point.channels,
                point.envelope_ns_per_line,
                point.reader_ns_per_line,
                point.join_us_per_channel,
                point.reader_bytes_per_channel / 1024.0,
            );
        }
        for line in &self.left_out {
            _ = write!(text, "\nLeft out: {line}\n");
        }
        text
    }

    fn waits_markdown(&self, text: &mut String) {
        if !self.waits.is_empty() {
            text.push_str("\n| what | beside | ours: median (worst) | peer: median (worst) | compared | goal | at least | verdict |\n|---|---|---|---|---|---|---|---|\n");
        }
        let took = |took: &Took| format!("{} ({}) ms", millis(took.median_ms), millis(took.worst_ms));
        for row in &self.waits {
            let peer = row.peer.as_ref().map_or_else(String::new, took);
            let [compared, goal, least, verdict] = row.judged();
            _ = writeln!(
                text,
                "| {}, {} times | {} | {} | {peer} | {compared} | {goal} | {least} | {verdict} |",
                row.what,
                row.ours.times,
                row.beside,
                took(&row.ours),
            );
        }
        if !self.idle.is_empty() {
            text.push_str(
                "\n| holding for an hour | measured | store calls | wake-ups | CPU |\n|---|---:|---:|---:|---:|\n",
            );
        }
        for row in &self.idle {
            _ = writeln!(
                text,
                "| {} | {:.0} s | {:.0} | {:.0} | {} s |",
                row.what,
                row.seconds,
                row.calls,
                row.wake_ups,
                millis(row.cpu_seconds),
            );
        }
    }
}

/// The number with three decimals below ten, and with one above.
fn millis(value: f64) -> String {
    if value < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Compared, Spread};

    fn compared(ratio: f64) -> Compared {
        Compared { ours: 100.0, peer: 100.0 * ratio, ratio: Spread { median: ratio, least: ratio, most: ratio } }
    }

    /// Faster is better for times, smaller is better for memory.
    #[test]
    fn a_missed_target_is_called_missed() {
        let target = Target { goal: 2.0, at_least: 1.5 };
        let time = |ratio| Row::of_time("g", "w", "b", compared(ratio), Some(target)).verdict();
        assert_eq!((time(2.1), time(1.6), time(1.4)), ("goal", "enough", "MISSED"));
        let target = Target { goal: 1.2, at_least: 1.5 };
        let memory = |ratio| Row::of_memory("g", "w", "b", compared(1.0 / ratio), target).verdict();
        assert_eq!((memory(1.1), memory(1.4), memory(1.6)), ("goal", "enough", "MISSED"));
    }

    /// Each kind of limit on a wait is judged by what it names.
    #[test]
    fn waits_are_judged_by_their_limits() {
        let judge = |limit, ratio: f64, ours: f64| {
            let took = Took { median_ms: ours, worst_ms: ours, times: 1 };
            let of = |median| Some(Spread { median, least: median, most: median });
            let row = Waited { ratio: of(ratio), above_ms: of(ours), ..Waited::alone("g", "w", took, Some(limit)) };
            row.judged()[3].clone()
        };
        let slower = Limit::Slower { goal: 2.0, at_least: 3.0 };
        assert_eq!([1.9, 2.5, 3.1].map(|ratio| judge(slower, ratio, 1.0)), ["goal", "enough", "MISSED"]);
        let faster = Limit::Faster { at_least: 5.0 };
        assert_eq!([0.1, 0.3].map(|ratio| judge(faster, ratio, 1.0)), ["goal", "MISSED"]);
        let under = Limit::Under { goal: Some(20.0), at_least: 50.0 };
        assert_eq!([19.0, 30.0, 60.0].map(|ours| judge(under, 1.0, ours)), ["goal", "enough", "MISSED"]);
        let above = Limit::Above { at_least: 25.0 };
        assert_eq!([24.0, 26.0].map(|ours| judge(above, 1.0, ours)), ["goal", "MISSED"]);
    }
}
