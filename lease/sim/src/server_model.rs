//! The honest server of records: a table whose rows are replaced only at the version that was seen.

use std::collections::BTreeMap;

use tenure_core::{LeaseKey, Nonce, Term, Time};
use tenure_records::{Content, Seen, Swap, Version, Write};

use crate::server::Server;
use crate::store::{State, StoreTime};

/// A server of records, with a clock of its own or without.
#[derive(Debug)]
pub struct ServerModel {
    has_clock: bool,
    /// How often it came back with an older state and noticed, and when it did so last. Where it has a clock it tells.
    incarnation: u64,
    complete_since: Option<Time>,
    rows: BTreeMap<LeaseKey, Row>,
    saved: BTreeMap<LeaseKey, Row>,
    /// Counts the writes of all keys, so that no version repeats. It does not go back with the rows: a server whose versions
    /// do can let its last two holders renew over each other, for up to two ttls.
    writes: u64,
    /// Every tenure, in the order of their first writes.
    tenures: Vec<(LeaseKey, Nonce, Term)>,
    last: u64,
}

#[derive(Clone, Debug)]
struct Row {
    content: Content,
    version: u64,
    written: Time,
}

impl ServerModel {
    /// Nothing is there. With a clock each read tells how old a record is, and what the time is.
    pub fn new(has_clock: bool) -> ServerModel {
        let (rows, saved) = (BTreeMap::new(), BTreeMap::new());
        ServerModel {
            has_clock,
            incarnation: 0,
            complete_since: None,
            rows,
            saved,
            writes: 0,
            tenures: Vec::new(),
            last: 0,
        }
    }

    /// Puts a record in a place without looking at what is there, as another program might; `None` deletes.
    pub fn put(&mut self, at: StoreTime, key: &LeaseKey, content: Option<Content>) -> Version {
        self.writes += 1;
        let version = self.writes;
        match content {
            Some(content) => {
                self.rows.insert(key.clone(), Row { content, version, written: at.now });
            }
            None => {
                self.rows.remove(key);
            }
        }
        self.version(Some(version))
    }

    /// The version that a row with this number has now. Where it is told what may be lacking, none from before counts any more,
    /// not even that of nothing.
    fn version(&self, number: Option<u64>) -> Version {
        Version::new(format!("{}/{}", self.incarnation, number.unwrap_or(0)))
    }

    fn shown_version(&self, row: Option<&Row>) -> Option<Version> {
        (row.is_some() || self.has_clock).then(|| self.version(row.map(|row| row.version)))
    }

    fn seen(&self, at: StoreTime, row: Option<&Row>) -> Seen {
        Seen {
            content: row.map(|row| row.content.clone()),
            version: self.shown_version(row),
            age: row.filter(|_| self.has_clock).map(|row| at.now.since(row.written)),
            server_micros: self.has_clock.then_some(at.micros),
            complete_for: self.complete_since.map(|since| at.now.since(since)),
        }
    }

    /// A write left this in the place. Whoever was there before, under that term, goes on, also where an older state brought that
    /// back; everybody else begins a tenure, also under a nonce and a term that were lost before their claimant knew of them.
    fn note_tenure(&mut self, key: &LeaseKey, left: Option<&Content>) {
        let Some((nonce, term)) = tenure(left) else { return };
        let stood = tenure(self.rows.get(key).map(|row| &row.content)) == Some((nonce, term));
        let is_it = |known: &(LeaseKey, Nonce, Term)| known.0 == *key && known.1 == nonce && known.2 == term;
        let known = self.tenures.iter().rposition(is_it).filter(|_| stood);
        let place = known.unwrap_or_else(|| {
            self.tenures.push((key.clone(), nonce, term));
            self.tenures.len() - 1
        });
        self.last = place as u64 + 1;
    }
}

/// The nonce and the term of the tenure that this is.
fn tenure(content: Option<&Content>) -> Option<(Nonce, Term)> {
    let Some(Content::Lease(record)) = content else { return None };
    Some((record.occupant()?.nonce, record.term?))
}

impl Server for ServerModel {
    fn read(&self, at: StoreTime, key: &LeaseKey) -> Seen {
        self.seen(at, self.rows.get(key))
    }

    fn write(&mut self, at: StoreTime, write: &Write) -> Swap {
        let key = &write.place.key;
        let row = self.rows.get(key);
        if self.shown_version(row) != write.expected {
            return Swap::Conflict(Some(self.seen(at, row)));
        }
        self.note_tenure(key, write.to.as_ref());
        Swap::Done(self.put(at, key, write.to.clone()))
    }

    fn scan(&self, at: StoreTime) -> Vec<(LeaseKey, Seen)> {
        self.rows.iter().map(|(key, row)| (key.clone(), self.seen(at, Some(row)))).collect()
    }

    fn forget(&mut self) {
        self.rows.clear();
    }

    fn save(&mut self) {
        self.saved = self.rows.clone();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        if self.has_clock && with != State::TakenForAll {
            self.incarnation += 1;
            self.complete_since = Some(at.now);
        }
        self.rows = match with {
            State::Saved | State::TakenForAll => self.saved.clone(),
            State::Empty => BTreeMap::new(),
        };
    }

    fn last_grant(&self) -> u64 {
        self.last
    }

    fn kept(&self) -> usize {
        self.rows.len()
    }
}
