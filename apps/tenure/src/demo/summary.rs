//! The demo's results in numbers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tenure_twitch_sim::Verdict;

use super::faults::{CounterSums, Timeline};
use super::places::{Places, Tally};

/// The numbers of one demo.
#[derive(Debug)]
pub(crate) struct Summary {
    verdict: Verdict,
    deduplicated: u64,
    refused: u64,
    terms: u64,
    /// How many changed room states are on the bus, besides the lines that have an identity.
    room_states: u64,
    timeline: Timeline,
    places: Places,
    folder: PathBuf,
    seconds: f64,
}

impl Summary {
    /// Reads the bus's own counters where the bus is a file; elsewhere takes the counters of the instances.
    pub(crate) fn new(
        verdict: Verdict,
        tally: Tally,
        counted: CounterSums,
        timeline: &Mutex<Timeline>,
        places: Places,
        folder: &Path,
        seconds: f64,
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
        let timeline = timeline.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Tally { terms, room_states } = tally;
        let folder = folder.to_owned();
        Ok(Summary { verdict, deduplicated, refused, terms, room_states, timeline, places, folder, seconds })
    }

    /// Whether nothing was lost, doubled, altered or made up.
    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.is_clean()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "sent": self.verdict.sent,
            "published": self.verdict.published,
            "deduplicated": self.deduplicated,
            "lost": self.verdict.lost.count,
            "doubled": self.verdict.doubled.count,
            "refused": self.refused,
            "takeovers": self.timeline.takeovers,
            "faults": self.timeline.faults,
            "altered": self.verdict.altered.count,
            "unknown": self.verdict.unknown.count,
            "gaps": self.verdict.gaps,
            "terms": self.terms,
            "room_states": self.room_states,
            "seconds": (self.seconds * 10.0).round() / 10.0,
            "files": self.folder.to_string_lossy(),
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let verdict = &self.verdict;
        let mut text = String::from(
            "\n  fault                                                     at        lasted    takeover\n",
        );
        for fault in &self.timeline.faults {
            let takeover = self.timeline.takeovers.iter().find(|takeover| takeover.cause == fault.kind);
            let takeover = takeover.map_or_else(|| "-".to_owned(), |takeover| format!("{} ms", takeover.ms));
            text.push_str(&format!(
                "  {:<55} {:>6.1} s  {:>8} ms  {takeover:>9}\n",
                fault.text,
                fault.at_ms as f64 / 1000.0,
                fault.lasted_ms
            ));
        }
        text.push_str(&format!(
            "\n  sent by the simulated Twitch  {:>9}   in {:.0} s, to three readers each\n  on the bus                    {:>9}   \
             under {} terms\n  room states beside them       {:>9}   which carry no id and no time of sending\n  dropped as second copies      {:>9}\n  refused by the fence          {:>9}\n  gaps reported                 \
             {:>9}\n  lost                          {:>9}\n  doubled                       {:>9}\n",
            verdict.sent,
            self.seconds,
            verdict.published,
            self.terms,
            self.room_states,
            self.deduplicated,
            self.refused,
            verdict.gaps,
            verdict.lost.count,
            verdict.doubled.count,
        ));
        if verdict.altered.count + verdict.unknown.count > 0 {
            text.push_str(&format!(
                "  altered                       {:>9}\n  unknown                       {:>9}   {:?}\n",
                verdict.altered.count, verdict.unknown.count, verdict.unknown.first
            ));
        }
        text.push_str(&format!(
            "\n  The counts of lost and doubled compare the simulator's ledger with the bus, nothing else. See for yourself:\n    \
             {}\n\n  {}",
            self.places.look(&self.folder),
            if self.is_clean() { "Nothing lost, nothing twice." } else { "FAILED: something was lost or doubled." },
        ));
        text
    }
}
