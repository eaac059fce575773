//! `tenure leases`: prints the leases that are held, and their holders.

use anyhow::Result;
use serde_json::{Map, Value};
use tenure_core::{KeyPrefix, LeaseKey, LeaseRecord, RecordFormat, Term};

use crate::exit::Exit;
use crate::output;
use crate::store::{self, StoreArgs};
use crate::table::{Align, Table, visible};
use tenure_base_net::durations::short;

/// Flags of `tenure leases`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One JSON object a line with --json: key, holder, term, remaining_ms, ttl_ms, bound_to, note, foreign; null where the store \
cannot know. A lease that is bound to a member lasts as long as that member's own lease: bound_to is its key, and ttl_ms and \
remaining_ms are null. A record of another program counts as held; it has no term, and is marked (foreign: true in JSON). Of \
what it wrote only what looks like its holder's name is shown. Where nobody holds \
anything, stdout stays empty and the exit code is 0.

Examples:
  tenure leases
  tenure leases myapp/leader
  tenure leases --store redis://db.internal:6379/0 --prefix myapp/
  tenure leases --json | jq -r 'select(.remaining_ms < 5000) | .key'
  watch -n1 tenure leases        # or better: tenure watch")]
pub(crate) struct Args {
    /// Only the lease of this key
    #[arg(value_name = "KEY", value_parser = store::parse_key, conflicts_with_all = ["lease", "prefix"])]
    key: Option<LeaseKey>,
    /// Only the lease of this key, in place of the word
    #[arg(long, short = 'l', value_name = "KEY", value_parser = store::parse_key, conflicts_with = "prefix")]
    lease: Option<LeaseKey>,
    #[command(flatten)]
    list: ListArgs,
}

/// Flags of every command that lists leases.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true, value_parser = store::parse_prefix)]
    pub(crate) prefix: KeyPrefix,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the leases that are held now.
pub(crate) fn run(args: Args) -> Result<()> {
    store::block_on(leases(args.key.or(args.lease), args.list))
}

async fn leases(key: Option<LeaseKey>, args: ListArgs) -> Result<()> {
    let Some(store) = args.store.open_to_read().await? else {
        say!("tenure: nothing is held: {}", args.store.missing());
        return Ok(());
    };
    let records = match &key {
        Some(key) => store::record(&*store, key).await.map(|record| record.into_iter().collect()),
        None => store::answer(store.list(&args.prefix)).await,
    };
    let records = records.map_err(Exit::unreachable)?;
    if records.is_empty() {
        match &key {
            Some(key) => say!("tenure: nobody holds {}", visible(key.as_str())),
            None => say!("tenure: {}", nothing_held(&args.prefix, store.info().shared)),
        }
        return Ok(());
    }
    if args.json {
        for record in &records {
            output::line(Value::Object(json(record)))?;
        }
        return Ok(());
    }
    let mut table = Table::new(COLUMNS);
    let rows: Vec<_> = records.iter().map(cells).collect();
    rows.iter().for_each(|row| table.fit(row));
    output::line(table.heading())?;
    for row in &rows {
        output::line(table.row(row))?;
    }
    Ok(())
}

/// The line that is printed where nobody holds a lease.
pub(crate) fn nothing_held(prefix: &KeyPrefix, shared: bool) -> String {
    let under = match prefix.as_str() {
        "" => String::new(),
        prefix => format!(" under {prefix:?}"),
    };
    // A private store is always empty for other processes.
    let alone =
        if shared { "" } else { "; this store is private to each process, so nobody else's leases can be seen" };
    format!("nothing is held{under}{alone}")
}

/// The columns of a lease in a table.
pub(crate) const COLUMNS: &[(&str, Align)] = &[
    ("KEY", Align::Left),
    ("HOLDER", Align::Left),
    ("TERM", Align::Right),
    ("LEFT", Align::Right),
    ("TTL", Align::Right),
    ("NOTE", Align::Left),
];

/// The lease's cells under [`COLUMNS`].
pub(crate) fn cells(record: &LeaseRecord) -> Vec<String> {
    let unknown = || "-".to_owned();
    vec![
        record.key.to_string(),
        record.holder.to_string(),
        if record.format == RecordFormat::Foreign {
            "foreign".to_owned()
        } else {
            record.term.map_or_else(unknown, |term| term.to_string())
        },
        record.remaining.map_or_else(unknown, short),
        match &record.bound {
            Some(bound) => format!("bound to {}", bound.member),
            None => record.ttl.map_or_else(unknown, short),
        },
        record.note.as_str().to_owned(),
    ]
}

/// The lease as one JSON object.
pub(crate) fn json(record: &LeaseRecord) -> Map<String, Value> {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut members = Map::new();
    members.insert("key".into(), record.key.as_str().into());
    members.insert("holder".into(), record.holder.as_str().into());
    members.insert("term".into(), record.term.map(Term::get).into());
    members.insert("remaining_ms".into(), record.remaining.map(millis).into());
    members.insert("ttl_ms".into(), record.ttl.map(millis).into());
    members.insert("bound_to".into(), record.bound.as_ref().map(|bound| bound.member.as_str()).into());
    members.insert("note".into(), record.note.as_str().into());
    if let Some(address) = crate::advertise::of(&record.note) {
        members.insert("advertise".into(), address.into());
    }
    members.insert("foreign".into(), (record.format == RecordFormat::Foreign).into());
    members
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;
    use tenure_core::{Bound, HolderId, Nonce, Note};

    /// A lease for tests.
    pub(crate) fn lease(key: &str, holder: &str, term: u64, remaining_ms: u64) -> LeaseRecord {
        LeaseRecord {
            nonce: Some(Nonce { process: 1, campaign: term }),
            term: Term::new(term),
            ttl: Some(Duration::from_secs(15)),
            remaining: Some(Duration::from_millis(remaining_ms)),
            note: Note::new("n").unwrap(),
            ..LeaseRecord::new(LeaseKey::new(key).unwrap(), HolderId::new(holder).unwrap(), RecordFormat::Tenure(1))
        }
    }

    /// The JSON has the members that others depend on; a foreign record has nulls and says what it is, and so does a bound one,
    /// which names its member.
    #[test]
    fn the_members_of_a_lease_are_a_contract() {
        let ours = Value::Object(json(&lease("k", "me", 7, 12_300)));
        let expected = serde_json::json!({
            "key": "k", "holder": "me", "term": 7, "remaining_ms": 12_300, "ttl_ms": 15_000, "note": "n",
            "bound_to": null, "foreign": false
        });
        assert_eq!(ours, expected);
        let foreign = LeaseRecord {
            nonce: None,
            term: None,
            ttl: None,
            remaining: None,
            format: RecordFormat::Foreign,
            ..lease("k", "it", 7, 0)
        };
        let shown = json(&foreign);
        assert!(shown["term"].is_null() && shown["remaining_ms"].is_null() && shown["foreign"] == true);
        assert_eq!(cells(&foreign)[2..5], ["foreign", "-", "-"]);
        let to = Bound { member: LeaseKey::new("members/a").unwrap(), term: Term::new(3).unwrap() };
        let bound = LeaseRecord { ttl: None, remaining: None, bound: Some(to), ..lease("k", "a", 7, 0) };
        let shown = json(&bound);
        assert!(shown["bound_to"] == "members/a" && shown["ttl_ms"].is_null() && shown["remaining_ms"].is_null());
        assert!(shown["term"] == 7 && shown["foreign"] == false);
        assert_eq!(cells(&bound)[2..5], ["7", "-", "bound to members/a"]);
    }
}
