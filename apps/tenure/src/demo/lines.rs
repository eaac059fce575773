//! The progress of the demo as plain lines, in the order of time: for a log, a pipe, and a terminal that cannot paint.

use std::time::Duration;

use super::picture::{Snapshot, span};
use super::plan::{Phase, StepState};
use super::style::grouped;

/// How often the numbers are told.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What is no further apart than this counts as one moment.
const SAME_MOMENT: Duration = Duration::from_millis(100);

/// Remembers what was told already.
#[derive(Debug, Default)]
pub(super) struct Teller {
    started: bool,
    /// How much of each step was told: its beginning, its takeovers, its end.
    steps: Vec<(bool, usize, bool)>,
    announced: usize,
    counting: bool,
    numbers: Option<Duration>,
    /// The time of the last line. No later line has an earlier one.
    last: Duration,
}

impl Teller {
    /// The lines that are new at this moment.
    pub(super) fn tell(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.started, true) {
            lines.push(self.line(Duration::ZERO, "three instances and a simulated Twitch start"));
            lines.push(self.line(Duration::ZERO, &numbers(snapshot)));
            self.numbers = Some(Duration::ZERO);
        }
        self.steps.resize(snapshot.plan.steps.len(), (false, 0, false));
        for (number, step) in snapshot.plan.steps.iter().enumerate() {
            let (began, takeovers, ended) = self.steps[number];
            let (at, end) = match step.state {
                StepState::Ahead => break,
                StepState::Running { at } => (at, None),
                StepState::Overcome { at, lasted } => (at, Some((at + lasted, lasted))),
            };
            if !began {
                lines.push(self.line(at, &step.text));
            }
            for takeover in step.takeovers.iter().skip(takeovers) {
                let text = format!("{} leads after {}", takeover.leader, span(takeover.took));
                lines.push(self.line(takeover.at, &text));
            }
            // A takeover that was the end of it has said so.
            let taken = step.takeovers.last().map_or(Duration::ZERO, |takeover| takeover.at + SAME_MOMENT);
            if let Some((end, lasted)) = end
                && !ended
                && end > taken
            {
                lines.push(self.line(end, &format!("overcome after {}: {}", span(lasted), step.text)));
            }
            self.steps[number] = (true, step.takeovers.len(), end.is_some());
        }
        if snapshot.plan.running().is_none() {
            let done = self.steps.iter().filter(|(.., ended)| *ended).count() + 1;
            if let Some(step) = snapshot.plan.ahead()
                && self.announced < done
            {
                self.announced = done;
                let left = step.due.saturating_sub(snapshot.elapsed).as_secs_f64().ceil();
                let when = if left > 0.0 { format!("next, in {left:.0} s") } else { "next".to_owned() };
                lines.push(self.line(snapshot.elapsed, &format!("{when}: {}", step.text)));
            }
        }
        if self.numbers.is_none_or(|told| snapshot.elapsed.saturating_sub(told) >= TOLD_EVERY)
            && snapshot.plan.phase == Phase::Chat
        {
            self.numbers = Some(snapshot.elapsed);
            lines.push(self.line(snapshot.elapsed, &numbers(snapshot)));
        }
        if snapshot.plan.phase == Phase::Counting && !std::mem::replace(&mut self.counting, true) {
            lines.push(self.line(snapshot.elapsed, "the chat is over; what is on the bus is counted"));
        }
        lines
    }

    fn line(&mut self, at: Duration, text: &str) -> String {
        self.last = self.last.max(at);
        format!("{:>6.1} s  {text}", self.last.as_secs_f64())
    }
}

fn numbers(snapshot: &Snapshot) -> String {
    let score = snapshot.score;
    format!(
        "sent {}, published {}, lost {}, doubled {}",
        grouped(score.sent),
        grouped(score.published),
        grouped(score.lost),
        grouped(score.doubled)
    )
}
