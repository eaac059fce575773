//! The table: for people as Markdown, for programs as JSON.

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use super::side::Side;
use super::site::Site;
use super::ttl::TTL;
use crate::latency::Took;
use crate::machine::{cpu_name, kernel};

/// All rows of a run.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    /// The machine.
    machine: String,
    /// How often each thing was done.
    rounds: u32,
    ttl_ms: u128,
    pub(super) rows: Vec<Row>,
}

/// One kind of candidate on one store.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    store: String,
    /// The version of its server.
    server: String,
    candidate: &'static str,
    pub(super) how: &'static str,
    is_ours: bool,
    /// One bare write on this server.
    pub(super) round_trip: Option<Took>,
    pub(super) release: Cell,
    pub(super) killed: Cell,
    pub(super) lost: Cell,
    pub(super) cut: Cell,
    /// Of ours: how it stands at release beside the fastest peer.
    at_release: Option<AtRelease>,
}

/// What one thing took.
#[derive(Debug)]
pub(super) enum Cell {
    /// So long.
    Took(Took),
    /// Some of these times nobody took over within so many seconds.
    NotTaken {
        /// How many times.
        never: usize,
        /// Of how many.
        times: usize,
        /// After how many seconds that was given up.
        within_s: u64,
    },
    /// It cannot happen here, because of this.
    DoesNotApply(String),
    /// It went wrong.
    Failed(String),
    /// It was not measured: what is missing, and how to get it.
    Skipped(String),
}

/// Ours at release beside the fastest peer on the same server.
#[derive(Debug, Serialize)]
struct AtRelease {
    fastest_peer: &'static str,
    /// How many milliseconds more than that one, by the medians.
    more_ms: f64,
    /// The same in round trips.
    more_round_trips: f64,
    /// Whether that is at most one round trip.
    holds: bool,
}

impl Table {
    pub(super) fn new(rounds: u32) -> Table {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = format!("{cpus} CPUs, {}, {}", cpu_name(), kernel());
        Table { machine, rounds, ttl_ms: TTL.as_millis(), rows: Vec::new() }
    }

    /// How many things went wrong.
    pub(super) fn failures(&self) -> usize {
        let cells = self.rows.iter().flat_map(|row| [&row.release, &row.killed, &row.lost, &row.cut]);
        cells.filter(|cell| matches!(cell, Cell::Failed(_))).count()
    }

    /// Holds ours beside the fastest peer on each store.
    pub(super) fn judge(&mut self) {
        let released = |row: &Row| if let Cell::Took(took) = &row.release { Some(took.median_ms) } else { None };
        for at in 0..self.rows.len() {
            let ours = &self.rows[at];
            let peers = self.rows.iter().filter(|row| !row.is_ours && row.store == ours.store);
            let fastest = peers.filter_map(|peer| Some((released(peer)?, peer.candidate)));
            let fastest = fastest.min_by(|(one, _), (other, _)| one.total_cmp(other));
            let (Some((peer, fastest_peer)), Some(own), Some(trip)) = (fastest, released(ours), &ours.round_trip)
            else {
                continue;
            };
            if !ours.is_ours {
                continue;
            }
            let more_ms = own - peer;
            let more_round_trips = more_ms / trip.median_ms;
            self.rows[at].at_release =
                Some(AtRelease { fastest_peer, more_ms, more_round_trips, holds: more_round_trips <= 1.0 });
        }
    }

    /// The table as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text =
            format!("- {}\n- {} times each, ttl {} ms; median (worst)\n\n", self.machine, self.rounds, self.ttl_ms);
        text.push_str("| store | round trip | candidate | release to elected | process killed | host lost | network cut | at release |\n");
        text.push_str("|---|---:|---|---:|---:|---:|---:|---|\n");
        for row in &self.rows {
            let store = format!("{} {}", row.store, row.server);
            let trip = row.round_trip.as_ref().map_or_else(String::new, shown);
            let cells = [&row.release, &row.killed, &row.lost, &row.cut].map(Cell::shown).join(" | ");
            let judged = row.at_release.as_ref().map_or_else(String::new, AtRelease::shown);
            let candidate = if row.is_ours { format!("**{}**", row.candidate) } else { row.candidate.to_owned() };
            _ = writeln!(text, "| {} | {trip} | {candidate} | {cells} | {judged} |", store.trim());
        }
        text.push('\n');
        for row in self.rows.iter().filter(|row| !row.how.is_empty()) {
            _ = writeln!(text, "- {}, {}: {}", row.store, row.candidate, row.how);
        }
        text
    }
}

impl Row {
    /// A row with nothing measured yet.
    pub(super) fn new(store: &str, candidate: &'static str) -> Row {
        let nothing = || Cell::Skipped(String::new());
        Row {
            store: store.to_owned(),
            server: String::new(),
            candidate,
            how: "",
            is_ours: candidate == OURS,
            round_trip: None,
            release: nothing(),
            killed: nothing(),
            lost: nothing(),
            cut: nothing(),
            at_release: None,
        }
    }

    pub(super) fn of(site: &Site, side: &Side) -> Row {
        let row = Row::new(site.name, side.name);
        Row { server: site.version.clone(), how: side.how, ..row }
    }

    /// A row of what is not on this machine.
    pub(super) fn missing(store: &str, candidate: &'static str, why: &str) -> Row {
        Row { release: Cell::Skipped(why.to_owned()), ..Row::new(store, candidate) }
    }
}

/// How ours is called.
pub(super) const OURS: &str = "Tenure";

impl Cell {
    fn shown(&self) -> String {
        match self {
            Cell::Took(took) => shown(took),
            Cell::NotTaken { never, times, within_s } if never == times => format!("none within {within_s} s"),
            Cell::NotTaken { never, times, within_s } => format!("{never} of {times}: none within {within_s} s"),
            Cell::DoesNotApply(why) => format!("({why})"),
            Cell::Failed(why) => format!("FAILED: {why}"),
            Cell::Skipped(why) if why.is_empty() => String::new(),
            Cell::Skipped(why) => format!("skipped: {why}"),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = match self {
            Cell::Took(took) => return took.serialize(serializer),
            Cell::NotTaken { never, times, within_s } => {
                serde_json::json!({"never": never, "times": times, "within_s": within_s})
            }
            Cell::DoesNotApply(why) => serde_json::json!({"does_not_apply": why}),
            Cell::Failed(why) => serde_json::json!({"failed": why}),
            Cell::Skipped(why) => serde_json::json!({"skipped": why}),
        };
        value.serialize(serializer)
    }
}

impl AtRelease {
    fn shown(&self) -> String {
        let verdict = if self.holds { "holds" } else { "MISSED" };
        format!("{:+.2} round trips beside {}: {verdict}", self.more_round_trips, self.fastest_peer)
    }
}

fn shown(took: &Took) -> String {
    format!("{} ({}) ms", millis(took.median_ms), millis(took.worst_ms))
}

fn millis(value: f64) -> String {
    if value < 10.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(median_ms: f64) -> Took {
        Took { median_ms, worst_ms: median_ms, times: 20 }
    }

    fn table(ours: f64, peers: &[f64]) -> Table {
        let mut table = Table::new(20);
        let row = |candidate, release| {
            let row = Row::new("etcd", candidate);
            Row { round_trip: Some(took(2.0)), release: Cell::Took(took(release)), ..row }
        };
        table.rows.push(row(OURS, ours));
        table.rows.extend(peers.iter().map(|peer| row("peer", *peer)));
        table.judge();
        table
    }

    /// Ours is held beside the fastest peer, and may take one round trip more; a peer is not judged, and where there is none
    /// nobody is.
    #[test]
    fn ours_is_held_beside_the_fastest() {
        let holds = |ours, peers: &[f64]| table(ours, peers).rows[0].at_release.as_ref().map(|judged| judged.holds);
        assert_eq!(holds(3.0, &[9.0, 1.5]), Some(true));
        assert_eq!(holds(3.6, &[9.0, 1.5]), Some(false));
        assert_eq!(holds(3.0, &[]), None);
        assert!(table(3.0, &[1.0]).rows[1].at_release.is_none());
    }

    /// A row of what is missing says how to get it, and a loss after which nobody took over says so.
    #[test]
    fn what_is_not_measured_says_why() {
        let mut table = table(1.0, &[1.0]);
        table.rows.push(Row::missing("Redis", OURS, "redis-server is not here: install it"));
        table.rows[1].lost = Cell::NotTaken { never: 20, times: 20, within_s: 15 };
        let text = table.markdown();
        assert!(text.contains("skipped: redis-server is not here: install it") && text.contains("none within 15 s"));
        let json = serde_json::to_value(&table).unwrap();
        assert_eq!(json["rows"][1]["lost"]["never"], 20);
        assert_eq!(json["rows"][0]["at_release"]["fastest_peer"], "peer");
    }
}
