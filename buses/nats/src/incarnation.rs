//! Which stream a position belongs to: one that was removed and made anew has its name, and counts from the beginning.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tenure_base_nats::StreamInfo;

/// The most subjects whose streams are remembered.
const MOST_SUBJECTS: usize = 64;

/// A stream by its name and by when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    name: String,
    created: String,
}

impl Incarnation {
    pub(crate) fn of(stream: &StreamInfo) -> Incarnation {
        Incarnation { name: stream.config.name.clone(), created: stream.created.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The streams that followers of this process have met last, by subject. Of more subjects than it has room for, it forgets
/// them all: a follower that begins then cannot tell whether its position is of this stream.
#[derive(Debug, Default)]
pub(crate) struct KnownIncarnations(Mutex<BTreeMap<String, Incarnation>>);

impl KnownIncarnations {
    pub(crate) fn get(&self, subject: &str) -> Option<Incarnation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(subject).cloned()
    }

    pub(crate) fn set(&self, subject: &str, stream: Incarnation) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_SUBJECTS && !known.contains_key(subject) {
            known.clear();
        }
        known.insert(subject.to_owned(), stream);
    }
}
