//! The live view: who leads, which messages flow, which faults happened. A screen on a terminal, else plain lines on
//! stderr.

use std::io::{IsTerminal, Stderr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use serde_json::Value;
use tenure_core::Time;
use tenure_twitch_sim::Sim;
use tokio_util::sync::CancellationToken;

use super::faults::{FaultInjector, Timeline};
use super::instance::Probe;
use super::leaders::{Leaders, Observation};

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(250);
/// How many lines the screen takes.
const HEIGHT: u16 = 24;

/// A running view.
pub(crate) struct View {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

struct ViewInputs {
    probes: Vec<Probe>,
    leaders: Leaders,
    sim: Arc<Sim>,
    timeline: Arc<Mutex<Timeline>>,
    began: Time,
    span: Duration,
    folder: PathBuf,
}

/// The state that one frame shows.
struct Snapshot {
    seen: Observation,
    rows: Vec<[String; 6]>,
    sent: u64,
    rate: f64,
    timeline: Timeline,
    elapsed: Duration,
}

impl View {
    /// Shows the demo's state until the view is stopped.
    pub(crate) fn start(json: bool, injector: &FaultInjector, span: Duration, folder: PathBuf) -> View {
        let inputs = ViewInputs {
            probes: injector.instances.iter().map(super::Instance::probe).collect(),
            leaders: injector.leaders.clone(),
            sim: Arc::clone(&injector.sim),
            timeline: Arc::clone(&injector.timeline),
            began: injector.began,
            span,
            folder,
        };
        let people = !json && std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        let screen = || Terminal::with_options(CrosstermBackend::new(std::io::stderr()), options).ok();
        // A terminal that does not report its cursor (recorders, dumb terminals) gets plain lines.
        let terminal = if people { screen() } else { None };
        let stop = CancellationToken::new();
        let task = tokio::spawn(show(inputs, terminal, stop.clone()));
        View { stop, task }
    }

    /// Ends the view and leaves its last frame on the screen.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // A panic of the view must not spoil the verdict.
        let _ = self.task.await;
    }
}

async fn show(inputs: ViewInputs, mut terminal: Option<Terminal<CrosstermBackend<Stderr>>>, stop: CancellationToken) {
    let mut told = (0, 0);
    let mut last = (tenure::now(), inputs.sim.stats().chat.lines as u64);
    let mut frames = 0_u32;
    while !stop.is_cancelled() {
        let snapshot = inputs.snapshot(&mut last).await;
        match &mut terminal {
            Some(terminal) => {
                // A terminal that has gone away shows nothing; the demo goes on.
                let _ = terminal.draw(|frame| draw(frame, &inputs, &snapshot));
            }
            None => tell(&snapshot, &mut told, frames.is_multiple_of(8)),
        }
        frames += 1;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(FRAME) => {}
        }
    }
    if let Some(terminal) = &mut terminal {
        // The summary that follows repeats everything.
        let _ = terminal.clear();
    }
}

impl ViewInputs {
    async fn snapshot(&self, last: &mut (Time, u64)) -> Snapshot {
        let mut rows = Vec::new();
        let seen = self.leaders.now();
        let leader = seen.leader.as_ref().map(|leader| leader.name.clone());
        for probe in &self.probes {
            let vars = probe.vars().await.ok();
            let number = |pointer: &str| vars.as_ref().and_then(|vars| vars.pointer(pointer)).and_then(Value::as_u64);
            let show = |pointer: &str| number(pointer).map_or_else(|| "-".to_owned(), |number| number.to_string());
            let role = match (&vars, leader.as_deref() == Some(probe.name.as_str())) {
                (None, _) => "gone or stopped",
                (Some(_), true) => "LEADER",
                (Some(_), false) => "standby, reading",
            };
            rows.push([
                probe.name.clone(),
                role.to_owned(),
                show("/ingest/received"),
                show("/ingest/published"),
                show("/ingest/repaired"),
                show("/ingest/ringEntries"),
            ]);
        }
        let (now, sent) = (tenure::now(), self.sim.stats().chat.lines as u64);
        let span = now.since(last.0).as_secs_f64();
        let rate = if span > 0.0 { (sent.saturating_sub(last.1)) as f64 / span } else { 0.0 };
        *last = (now, sent);
        let timeline = self.timeline.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Snapshot { seen, rows, sent, rate, timeline, elapsed: now.since(self.began) }
    }
}

fn draw(frame: &mut Frame<'_>, inputs: &ViewInputs, snapshot: &Snapshot) {
    let areas =
        Layout::vertical([Constraint::Length(3), Constraint::Length(6), Constraint::Min(3)]).split(frame.area());
    let leader = snapshot.seen.leader.as_ref();
    let who = leader.map_or_else(|| "nobody".to_owned(), |leader| format!("{}, term {}", leader.name, leader.term));
    let head = format!(
        "leader: {who}    sent: {} lines, {:.0}/s    {} of {} s",
        snapshot.sent,
        snapshot.rate,
        snapshot.elapsed.as_secs(),
        inputs.span.as_secs()
    );
    frame.render_widget(Paragraph::new(head).block(Block::bordered().title(" tenure demo ")), areas[0]);
    let rows = snapshot.rows.iter().map(|cells| {
        let style = match cells[1].as_str() {
            "LEADER" => Style::new().fg(Color::Green).add_modifier(Modifier::BOLD),
            "gone or stopped" => Style::new().fg(Color::Red),
            _ => Style::new(),
        };
        Row::new(cells.iter().map(String::as_str)).style(style)
    });
    let widths = [10, 18, 12, 12, 10, 8].map(Constraint::Length);
    let header = Row::new(["instance", "role", "read", "published", "repaired", "held"]).bold();
    frame
        .render_widget(Table::new(rows, widths).header(header).block(Block::bordered().title(" instances ")), areas[1]);
    let mut lines = history(&snapshot.timeline);
    if !snapshot.timeline.doing.is_empty() {
        lines.push(Line::styled(format!("  now: {}", snapshot.timeline.doing), Style::new().fg(Color::Yellow)));
    }
    let title = format!(" what happened (files: {}) ", inputs.folder.display());
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), areas[2]);
}

fn history(timeline: &Timeline) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for fault in &timeline.faults {
        lines.push(Line::from(format!("{:>6.1} s  {}", fault.at_ms as f64 / 1000.0, fault.text)));
        for takeover in timeline.takeovers.iter().filter(|takeover| takeover.cause == fault.kind) {
            let text = format!("          {} after {} ms", takeover.text, takeover.ms);
            lines.push(Line::styled(text, Style::new().fg(Color::Green)));
        }
    }
    lines
}

/// Plain progress: each fault and takeover once, and the state every two seconds.
fn tell(snapshot: &Snapshot, told: &mut (usize, usize), state: bool) {
    for fault in snapshot.timeline.faults.iter().skip(told.0) {
        eprintln!("{:>6.1} s  {} (took {} ms)", fault.at_ms as f64 / 1000.0, fault.text, fault.lasted_ms);
    }
    for takeover in snapshot.timeline.takeovers.iter().skip(told.1) {
        eprintln!("          takeover ({}): {} after {} ms", takeover.cause, takeover.text, takeover.ms);
    }
    *told = (snapshot.timeline.faults.len(), snapshot.timeline.takeovers.len());
    if state {
        let leader = snapshot.seen.leader.as_ref().map_or("nobody", |leader| leader.name.as_str());
        eprintln!(
            "{:>6.1} s  leader {leader}, {} lines sent, {:.0}/s",
            snapshot.elapsed.as_secs_f64(),
            snapshot.sent,
            snapshot.rate
        );
    }
}
