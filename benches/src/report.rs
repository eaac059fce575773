//! What was measured: as a table for people, as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::pairs::Compared;

/// What a row is held against.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Target {
    /// What we want.
    pub(crate) goal: f64,
    /// What must be.
    pub(crate) at_least: f64,
}

/// How a row's costs are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Nanoseconds of CPU per line.
    NsPerLine,
    /// Bytes of resident memory per connection.
    BytesPerConnection,
}

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Which group it belongs to.
    pub(crate) group: &'static str,
    /// What was done.
    pub(crate) what: String,
    /// Beside whom.
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
    /// The greatest.
    pub(crate) ratio_max: f64,
    /// What it is held against; rows that only explain have none.
    pub(crate) target: Option<Target>,
    /// What the reader should know.
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

    /// The same row with a note.
    pub(crate) fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn verdict(&self) -> &'static str {
        let Some(target) = self.target else { return "" };
        let reaches = |wanted: f64| match self.unit {
            Unit::NsPerLine => self.ratio >= wanted,
            Unit::BytesPerConnection => self.ratio <= wanted,
        };
        match (reaches(target.goal), reaches(target.at_least)) {
            (true, _) => "goal",
            (false, true) => "enough",
            (false, false) => "MISSED",
        }
    }
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

/// Everything of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Which machine, which corpus, how many pairs.
    pub(crate) circumstances: Vec<String>,
    /// The comparisons.
    pub(crate) rows: Vec<Row>,
    /// The curve over channels.
    pub(crate) channels: Vec<Point>,
    /// What was left out, and why.
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
                Unit::BytesPerConnection => format!("{:.1} KiB", cost / 1024.0),
            };
            let (goal, least) = row.target.map_or_else(Default::default, |target| {
                (format!("{:.1} x", target.goal), format!("{:.1} x", target.at_least))
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
}
