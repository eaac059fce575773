//! The demo's results: one JSON object for programs, a page for people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tenure_twitch_sim::Verdict;

use super::faults::CounterSums;
use super::files::{bytes, size};
use super::picture::{faults, inner_width, score};
use super::places::{Places, Tally};
use super::plan::{PlanState, StepState};
use super::score::Score;
use super::style::{Line, Look, Meaning, grouped};

/// The numbers of one demo.
#[derive(Debug)]
pub(super) struct Summary {
    verdict: Verdict,
    deduplicated: u64,
    refused: u64,
    tally: Tally,
    plan: PlanState,
    places: Places,
    folder: PathBuf,
    seconds: f64,
}

impl Summary {
    /// Reads the bus's own counters where the bus is a file; elsewhere takes the counters of the instances.
    pub(super) fn new(
        verdict: Verdict,
        tally: Tally,
        counted: CounterSums,
        plan: PlanState,
        places: Places,
        folder: &Path,
        lasted: Duration,
    ) -> Result<Summary> {
        let (deduplicated, refused) = match &places.file {
            None => (counted.deduplicated, counted.refused),
            Some(chat) => {
                let only_read = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                let connection = rusqlite::Connection::open_with_flags(chat, only_read);
                let connection = connection.context("cannot read the demo's bus")?;
                let counter = |column: &str| -> Result<u64> {
                    let sql = format!("SELECT {column} FROM bus_state");
                    let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
                    Ok(u64::try_from(count).unwrap_or(0))
                };
                (counter("deduplicated")?, counter("refused")?)
            }
        };
        let (folder, seconds) = (folder.to_owned(), lasted.as_secs_f64());
        Ok(Summary { verdict, deduplicated, refused, tally, plan, places, folder, seconds })
    }

    /// Whether nothing was lost, doubled, altered or made up.
    pub(super) fn is_clean(&self) -> bool {
        self.verdict.is_clean()
    }

    pub(super) fn to_json(&self) -> Value {
        let takeovers = self.plan.steps.iter().flat_map(|step| {
            step.takeovers.iter().map(|takeover| json!({ "cause": step.fault.kind(), "ms": millis(takeover.took) }))
        });
        let faults = self.plan.steps.iter().filter_map(|step| match step.state {
            StepState::Overcome { at, lasted } => {
                Some(json!({ "kind": step.fault.kind(), "at_ms": millis(at), "lasted_ms": millis(lasted) }))
            }
            StepState::Ahead | StepState::Running { .. } => None,
        });
        json!({
            "sent": self.verdict.sent,
            "published": self.verdict.published,
            "deduplicated": self.deduplicated,
            "lost": self.verdict.lost.count,
            "doubled": self.verdict.doubled.count,
            "refused": self.refused,
            "takeovers": takeovers.collect::<Vec<_>>(),
            "faults": faults.collect::<Vec<_>>(),
            "altered": self.verdict.altered.count,
            "unknown": self.verdict.unknown.count,
            "gaps": self.verdict.gaps,
            "terms": self.tally.terms,
            "room_states": self.tally.room_states,
            "seconds": (self.seconds * 10.0).round() / 10.0,
            "files": self.folder.to_string_lossy(),
        })
    }

    /// The page, for an output of this width and look.
    pub(super) fn to_text(&self, look: Look, columns: usize) -> String {
        let width = inner_width(columns);
        let plain = |text: String| Line::default().with(Meaning::Plain, format!("  {text}"));
        let faint = |text: String| Line::default().with(Meaning::Faint, format!("  {text}"));
        let mut lines = vec![Line::default()];
        lines.extend(faults(&self.plan, look, width));
        lines.push(Line::default());
        let verdict = &self.verdict;
        let (lost, doubled) = (verdict.lost.count, verdict.doubled.count);
        lines.extend(score(&Score { sent: verdict.sent, published: verdict.published, lost, doubled }, None, width));
        lines.push(Line::default());
        lines.push(faint(format!(
            "in {:.0} s under {} terms; the bus dropped {} second copies and refused {}",
            self.seconds,
            self.tally.terms,
            grouped(self.deduplicated),
            grouped(self.refused),
        )));
        lines.push(faint(format!(
            "gaps reported: {}; room states, which carry no id and no time: {}",
            verdict.gaps, self.tally.room_states
        )));
        if verdict.altered.count + verdict.unknown.count > 0 {
            let (altered, unknown) = (verdict.altered.count, verdict.unknown.count);
            let text = format!("  altered: {altered}; unknown: {unknown} {:?}", verdict.unknown.first);
            lines.push(Line::default().with(Meaning::Bad, text));
        }
        lines.push(Line::default());
        lines.push(if self.is_clean() {
            let good = Line::default().with(Meaning::Good, "  Nothing lost, nothing doubled");
            good.with(Meaning::Plain, ": each line that was sent is on the bus once.")
        } else {
            Line::default().with(Meaning::Bad, "  FAILED: something was lost, doubled or altered.")
        });
        let mut text: String = lines.iter().map(|line| format!("{}\n", look.render(line, columns))).collect();
        // Commands are for copying: they are neither shortened nor coloured.
        text.push('\n');
        for line in self.places.look(verdict.published) {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&look.render(&plain(format!("Remove the files, {}:", size(bytes(&self.folder)))), columns));
        text.push_str(&format!("\n    rm -r {}", super::places::quoted(&self.folder)));
        text
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
