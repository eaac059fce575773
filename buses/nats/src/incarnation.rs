//! Which stream a position belongs to: a recreated stream has the same name, but counts from the beginning.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tenure_base_nats::StreamInfo;

/// The most subjects whose streams are remembered.
const MAX_SUBJECTS: usize = 64;

/// A stream, identified by its name and its creation time.
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

/// The streams that followers of this process met last, by subject. If there are more subjects than it has room for, it
/// forgets all of them: a follower that begins then cannot tell whether its position belongs to this stream.
#[derive(Debug, Default)]
pub(crate) struct KnownIncarnations(Mutex<BTreeMap<String, Incarnation>>);

impl KnownIncarnations {
    pub(crate) fn get(&self, subject: &str) -> Option<Incarnation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(subject).cloned()
    }

    pub(crate) fn set(&self, subject: &str, stream: Incarnation) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_SUBJECTS && !known.contains_key(subject) {
            known.clear();
        }
        known.insert(subject.to_owned(), stream);
    }
}
