//! The channels that are not joined, as endpoints and metrics show them: which, and why.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenure_ingest::{Snapshot, View};
use tenure_twitch::{ConnectionState, JoinFailure};

/// The reason of a channel that waits until the server's budget of JOINs has room for it.
const JOIN_BUDGET: &str = "join_budget";
/// How many channels a sentence names.
const NAMED: usize = 10;

/// The channels that are not joined and the codes of why, by name; of a channel that is only just asked for, none.
pub(super) fn unplaced(view: &View, snapshot: &Snapshot) -> BTreeMap<String, &'static str> {
    let Some(reader) = view.reader() else { return BTreeMap::new() };
    let mut unplaced = BTreeMap::new();
    let is_up = reader.connections.iter().any(|connection| connection.state == ConnectionState::Up);
    if is_up && reader.budgets.iter().any(|budget| budget.bucket == "join" && budget.left == 0) {
        let joined = reader.joined_channels();
        let waiting = view.config().reader.channels.iter().filter(|channel| joined.binary_search(channel).is_err());
        unplaced.extend(waiting.map(|channel| (channel.clone(), JOIN_BUDGET)));
    }
    unplaced.extend(snapshot.unplaced.iter().map(|(channel, reason)| (channel.clone(), *reason)));
    unplaced
}

/// The same as JSON: `[{channel, reason}]`.
pub(super) fn shown(unplaced: &BTreeMap<String, &'static str>) -> Vec<Value> {
    unplaced.iter().map(|(channel, reason)| json!({ "channel": channel, "reason": reason })).collect()
}

/// A sentence that names the channels on which readiness waits, each with its reason where there is one.
pub(super) fn missing(view: &View, unplaced: &BTreeMap<String, &'static str>) -> String {
    let joined = view.reader().map(|reader| reader.joined_channels()).unwrap_or_default();
    let wanted = view.config().reader.channels.iter();
    let missing: Vec<&String> = wanted.filter(|channel| joined.binary_search(channel).is_err()).collect();
    let named = missing.iter().take(NAMED).map(|channel| match unplaced.get(*channel) {
        Some(reason) => format!("{channel} ({reason})"),
        None => (*channel).clone(),
    });
    let mut sentence = "not every channel is joined".to_owned();
    if !missing.is_empty() {
        sentence = format!("{sentence}: {}", named.collect::<Vec<_>>().join(", "));
    }
    match missing.len().saturating_sub(NAMED) {
        0 => sentence,
        more => format!("{sentence} and {more} more"),
    }
}

/// How many channels there are of each reason; none of those that no channel has, so that a reason that has gone shows.
pub(super) fn counts(unplaced: &BTreeMap<String, &'static str>) -> BTreeMap<&'static str, usize> {
    let codes = JoinFailure::ALL.iter().map(|failure| failure.code()).chain([JOIN_BUDGET]);
    let mut counts: BTreeMap<&'static str, usize> = codes.map(|code| (code, 0)).collect();
    for reason in unplaced.values() {
        *counts.entry(reason).or_default() += 1;
    }
    counts
}
