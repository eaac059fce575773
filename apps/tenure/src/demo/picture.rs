//! The picture of the running demo: what it shows at one moment, in how many columns and rows.

use std::time::Duration;

use super::fleet::InstanceState;
use super::leaders::Leader;
use super::plan::{Phase, PlanState, Step, StepState};
use super::score::Score;
use super::screen::Size;
use super::style::{Line, Look, Meaning, grouped};

/// The widest text of a fault.
pub(super) const TEXT_WIDTH: usize = 36;
/// What the picture leaves free on each side.
const MARGIN: usize = 2;
/// In a wider terminal the picture grows no more: the eye would lose its lines.
const WIDEST: usize = 140;
/// From this width on the score has six numbers in place of four.
const ROOM_FOR_RATES: usize = 66;
/// From this width on the reasons stand in the table.
const ROOM_FOR_REASONS: usize = 130;

/// Everything that the picture shows.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) plan: PlanState,
    pub(super) span: Duration,
    pub(super) elapsed: Duration,
    pub(super) score: Score,
    /// Lines a second, of late.
    pub(super) rate: f64,
    pub(super) fleet: Vec<InstanceState>,
    pub(super) leader: Option<Leader>,
    /// Where the files are, and how large they are by now.
    pub(super) files: String,
}

/// How dispensable a line is: where the terminal is too low, those of the highest rank go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Score,
    Title,
    Now,
    Next,
    Faults,
    Instances,
    Files,
    Reason,
    Blank,
}

/// The picture of this moment, no higher than the terminal less one row.
pub(super) fn picture(snapshot: &Snapshot, look: Look, size: Size) -> Vec<Line> {
    let width = inner_width(size.columns);
    let mut lines = vec![(Rank::Title, title(snapshot, width)), (Rank::Title, time_line(snapshot, look, width))];
    lines.push((Rank::Blank, Line::default()));
    lines.extend(score(&snapshot.score, Some(snapshot.rate), width).map(|line| (Rank::Score, line)));
    lines.push((Rank::Blank, Line::default()));
    lines.extend(instances(snapshot, width).into_iter().map(|line| (Rank::Instances, line)));
    lines.push((Rank::Blank, Line::default()));
    lines.extend(faults(&snapshot.plan, look, width).into_iter().map(|line| (Rank::Faults, line)));
    lines.push((Rank::Blank, Line::default()));
    let (now, reason) = now(snapshot);
    lines.push((Rank::Now, labelled("now", now)));
    lines.push((Rank::Reason, labelled("", Line::default().with(Meaning::Faint, reason))));
    lines.push((Rank::Next, labelled("next", next(snapshot))));
    lines.push((Rank::Files, labelled("files", Line::default().with(Meaning::Faint, &snapshot.files))));
    while lines.len() >= size.rows.max(2) {
        let Some(dispensable) = lines.iter().map(|(rank, _)| *rank).max() else { break };
        let Some(at) = lines.iter().rposition(|(rank, _)| *rank == dispensable) else { break };
        lines.remove(at);
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// How many columns there are between the margins.
pub(super) fn inner_width(columns: usize) -> usize {
    columns.min(WIDEST).saturating_sub(2 * MARGIN)
}

/// Headings and numbers: what was sent, and what became of it.
pub(super) fn score(score: &Score, rate: Option<f64>, width: usize) -> [Line; 2] {
    let verdict = |count: u64| if count == 0 { Meaning::Good } else { Meaning::Bad };
    let mut cells = vec![
        ("sent", grouped(score.sent), Meaning::Strong),
        ("published", grouped(score.published), Meaning::Strong),
        ("lost", grouped(score.lost), verdict(score.lost)),
        ("doubled", grouped(score.doubled), verdict(score.doubled)),
    ];
    if let Some(rate) = rate.filter(|_| width >= ROOM_FOR_RATES) {
        cells.insert(2, ("under way", grouped(score.under_way()), Meaning::Plain));
        cells.push(("lines/s", grouped(rate.round() as u64), Meaning::Plain));
    }
    let column = (width / cells.len().max(1)).min(18);
    let mut lines = [indented(), indented()];
    for (at, (heading, number, meaning)) in cells.iter().enumerate() {
        let [headings, numbers] = lines;
        let column = if at == 0 { column.saturating_sub(2) } else { column };
        lines = [headings.right(Meaning::Faint, heading, column), numbers.right(*meaning, number, column)];
    }
    lines
}

/// The table of the faults: what happened, when, and who took over how fast. Where there is room it says why nothing came
/// of it.
pub(super) fn faults(plan: &PlanState, look: Look, width: usize) -> Vec<Line> {
    let reasons = width + 2 * MARGIN >= ROOM_FOR_REASONS;
    let heading = indented().left(Meaning::Faint, "  fault", TEXT_WIDTH + 2).right(Meaning::Faint, "at", 8);
    let mut heading = heading.left(Meaning::Faint, "   takeover", 21).right(Meaning::Faint, "lasted", 8);
    if reasons {
        heading = heading.with(Meaning::Faint, "   why nothing comes of it");
    }
    let mut lines = vec![heading];
    for step in &plan.steps {
        let (sign, meaning, text) = match step.state {
            StepState::Ahead => (look.sign("·", "."), Meaning::Faint, Meaning::Faint),
            StepState::Running { .. } => (look.sign("▸", ">"), Meaning::Busy, Meaning::Busy),
            StepState::Overcome { .. } => (look.sign("✓", "+"), Meaning::Good, Meaning::Plain),
        };
        let (at, lasted) = match step.state {
            StepState::Ahead => (step.due, String::new()),
            StepState::Running { at } => (at, String::new()),
            StepState::Overcome { at, lasted } => (at, span(lasted)),
        };
        let line = indented().left(meaning, sign, 2).left(text, &step.text, TEXT_WIDTH).right(text, &seconds(at), 8);
        let mut line = line.left(text, &format!("   {}", takeovers(step, look)), 21).right(text, &lasted, 8);
        if reasons {
            line = line.with(Meaning::Faint, format!("   {}", step.fault.why()));
        }
        lines.push(line);
    }
    lines
}

/// `17 ms`, or `2.1 s`.
pub(super) fn span(span: Duration) -> String {
    match span.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        _ => seconds(span),
    }
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

fn minutes(span: Duration) -> String {
    format!("{}:{:02}", span.as_secs() / 60, span.as_secs() % 60)
}

fn takeovers(step: &Step, look: Look) -> String {
    match step.takeovers.as_slice() {
        [] => String::new(),
        [takeover] => format!("{} in {}", takeover.leader, span(takeover.took)),
        several => {
            let slowest = several.iter().map(|takeover| takeover.took).max().unwrap_or_default();
            format!("{}, {} {}", several.len(), look.sign("≤", "<="), span(slowest))
        }
    }
}

fn indented() -> Line {
    Line::default().with(Meaning::Plain, " ".repeat(MARGIN))
}

fn labelled(label: &str, text: Line) -> Line {
    indented().left(Meaning::Faint, label, 7).and(text)
}

fn title(snapshot: &Snapshot, width: usize) -> Line {
    let clock = format!("{} of {}", minutes(snapshot.elapsed), minutes(snapshot.span));
    let mut left = Line::default().with(Meaning::Strong, "tenure demo");
    let subtitle = "  three instances read a chat, one publishes it";
    if left.width() + subtitle.len() + clock.len() + MARGIN <= width {
        left = left.with(Meaning::Faint, subtitle);
    }
    let free = width.saturating_sub(left.width());
    indented().and(left).right(Meaning::Strong, &clock, free)
}

/// The demo's time from left to right, with a mark for each fault.
fn time_line(snapshot: &Snapshot, look: Look, width: usize) -> Line {
    let place = |at: Duration| {
        let part = at.as_secs_f64() / snapshot.span.as_secs_f64().max(0.001);
        ((part * width as f64) as usize).min(width.saturating_sub(1))
    };
    let elapsed = match snapshot.plan.phase {
        Phase::Starting => 0,
        Phase::Chat => place(snapshot.elapsed),
        Phase::Counting => width,
    };
    let mark = |step: &Step| match step.state {
        StepState::Ahead => (place(step.due), look.sign("○", "o"), Meaning::Plain),
        StepState::Running { at } => (place(at), look.sign("◆", "*"), Meaning::Busy),
        StepState::Overcome { at, .. } => (place(at), look.sign("●", "#"), Meaning::Good),
    };
    let marks: Vec<_> = snapshot.plan.steps.iter().map(mark).collect();
    let mut line = indented();
    for column in 0..width {
        line = match marks.iter().find(|(at, ..)| *at == column) {
            Some((_, sign, meaning)) => line.with(*meaning, *sign),
            None if column < elapsed => line.with(Meaning::Plain, look.sign("━", "=")),
            None => line.with(Meaning::Faint, look.sign("─", "-")),
        };
    }
    line
}

fn instances(snapshot: &Snapshot, width: usize) -> Vec<Line> {
    let wide = width + 2 * MARGIN >= ROOM_FOR_REASONS;
    let column = if wide { 18 } else { 12 };
    let mut headings = vec!["read", "published", "repaired", "held"];
    if wide {
        headings.push("copies dropped");
    }
    let heading = indented().left(Meaning::Faint, "instance", 10).left(Meaning::Faint, "role", 18);
    let mut lines = vec![headings.iter().fold(heading, |line, heading| line.right(Meaning::Faint, heading, column))];
    for instance in &snapshot.fleet {
        let leads = snapshot.leader.as_ref().filter(|leader| leader.name == instance.name);
        let (role, meaning) = match (&instance.counts, leads) {
            (None, _) if snapshot.plan.phase == Phase::Starting => ("starting".to_owned(), Meaning::Faint),
            (None, _) => ("no answer".to_owned(), Meaning::Bad),
            (Some(_), Some(_)) => ("leader".to_owned(), Meaning::Strong),
            (Some(_), None) => ("standby".to_owned(), Meaning::Plain),
        };
        let line = indented().left(meaning, &instance.name, 10).left(meaning, &role, 18);
        let mut cells = match &instance.counts {
            Some(counts) => {
                [counts.read, counts.published, counts.repaired, counts.held, counts.deduplicated].map(grouped)
            }
            None => [const { String::new() }; 5],
        }
        .to_vec();
        cells.truncate(headings.len());
        lines.push(cells.iter().fold(line, |line, cell| line.right(Meaning::Plain, cell, column)));
    }
    lines
}

/// What happens now, and why it does no harm.
fn now(snapshot: &Snapshot) -> (Line, &'static str) {
    let plain = |text: &str| Line::default().with(Meaning::Plain, text);
    match (snapshot.plan.phase, snapshot.plan.running()) {
        (Phase::Starting, _) => (plain("three instances and a simulated Twitch start"), ""),
        (Phase::Counting, _) => (plain("the chat is over; what is on the bus is counted"), ""),
        (Phase::Chat, Some(step)) => (Line::default().with(Meaning::Busy, &step.text), step.fault.why()),
        (Phase::Chat, None) => (plain("all is well"), ""),
    }
}

fn next(snapshot: &Snapshot) -> Line {
    let text = match snapshot.plan.ahead() {
        Some(step) if snapshot.plan.phase == Phase::Chat => {
            let left = step.due.saturating_sub(snapshot.elapsed).as_secs_f64().ceil();
            if left > 0.0 { format!("{}, in {left:.0} s", step.text) } else { format!("{}, soon", step.text) }
        }
        Some(step) => format!("{}, after {}", step.text, seconds(step.due)),
        None => "a checker compares what was sent with what is on the bus".to_owned(),
    };
    Line::default().with(Meaning::Plain, text)
}
