//! A document: a value under a key, at a version. What a fleet shares besides leases lies in such values.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use tenure_core::{KeyPrefix, LeaseKey};

use crate::error::{StoreError, StoreErrorKind};

/// One state of what stands under a key. Opaque: a store gives it out, and nothing is to be read from it. It never repeats for
/// a key, also not after a deletion.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

impl Version {
    /// The version that the store writes like this.
    pub fn new(text: impl Into<Box<str>>) -> Version {
        Version(text.into())
    }

    /// As the store writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0)
    }
}

/// A value under a key, as it stood at this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The key.
    pub key: LeaseKey,
    /// Which state of the document this is: a change that names it is done only while it still stands.
    pub version: Version,
    /// Any bytes, none included.
    pub value: Vec<u8>,
}

impl From<Option<Document>> for Found {
    fn from(document: Option<Document>) -> Found {
        document.map_or(Found::Nothing, Found::Document)
    }
}

impl Document {
    /// The most bytes that a value may have: what every server bears, the smallest of them too.
    pub const MAX_BYTES: usize = 128 * 1024;

    /// The most bytes that the keys and values of one list may have altogether.
    pub const MAX_LIST_BYTES: usize = 64 * 1024 * 1024;
}

/// How a change of a document ended, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped<T> {
    /// It was done.
    Done(T),
    /// The document is not as the change expects it: nothing was done.
    Conflict(Found),
}

impl<T> Swapped<T> {
    /// The same with another word for what was done.
    pub fn map<U>(self, done: impl FnOnce(T) -> U) -> Swapped<U> {
        match self {
            Swapped::Done(value) => Swapped::Done(done(value)),
            Swapped::Conflict(found) => Swapped::Conflict(found),
        }
    }
}

/// What stood in the way of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This document.
    Document(Document),
    /// No document.
    Nothing,
    /// Something else than was expected, and the answer did not say what: read it.
    Unknown,
}

/// Refuses a value that is larger than [`Document::MAX_BYTES`], before anything is sent. Every store asks this first.
pub fn check_document(scheme: &str, key: &LeaseKey, value: &[u8]) -> Result<(), StoreError> {
    if value.len() <= Document::MAX_BYTES {
        return Ok(());
    }
    let (bytes, most) = (value.len(), Document::MAX_BYTES);
    let message = format!("{scheme}: document {key:?}: a value of {bytes} bytes; at most {most} are taken, divide it");
    Err(StoreError::new(StoreErrorKind::Invalid, message))
}

/// The documents of a list while it is made: every store hands them out in the order of their keys, each once, and refuses a
/// list of more than [`Document::MAX_LIST_BYTES`].
#[derive(Debug)]
pub struct DocumentList {
    scheme: &'static str,
    prefix: KeyPrefix,
    documents: Vec<Document>,
    bytes: usize,
}

impl DocumentList {
    /// The list of what stands under this prefix; empty at first.
    pub fn new(scheme: &'static str, prefix: &KeyPrefix) -> DocumentList {
        DocumentList { scheme, prefix: prefix.clone(), documents: Vec::new(), bytes: 0 }
    }

    /// Adds a document. One whose key does not begin with the prefix is left out, so that a server's list may name too much.
    pub fn add(&mut self, document: Document) -> Result<(), StoreError> {
        if !self.prefix.matches(&document.key) {
            return Ok(());
        }
        self.bytes += document.key.as_str().len() + document.value.len();
        if self.bytes > Document::MAX_LIST_BYTES {
            let (scheme, most) = (self.scheme, Document::MAX_LIST_BYTES);
            let prefix = self.prefix.as_str();
            let message =
                format!("{scheme}: the documents under {prefix:?} have more than {most} bytes; list a longer prefix");
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        self.documents.push(document);
        Ok(())
    }

    /// The documents, by key.
    pub fn finish(mut self) -> Vec<Document> {
        self.documents.sort_by(|one, other| one.key.cmp(&other.key));
        self.documents.dedup_by(|one, other| one.key == other.key);
        self.documents
    }
}

/// Whom a store has told of values in the place of documents that another program wrote. They keep nobody from the rest of a
/// list, and are left out of it with a warning; whoever reads one of them is told by an error.
#[derive(Debug, Default)]
pub struct LeftOut {
    told: Mutex<HashSet<LeaseKey>>,
}

impl LeftOut {
    /// Of how many keys a store warns.
    pub const TOLD: usize = 64;

    /// Warns of this key with what a read of it answers. Lists come again and again: it is told once, and no more than
    /// [`LeftOut::TOLD`] are. Answers whether it was told now.
    pub fn tell(&self, key: &LeaseKey, error: &StoreError) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.len() < Self::TOLD && told.insert(key.clone());
        if is_news {
            tracing::warn!("{error}; it is left out of lists");
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(key: &str, bytes: usize) -> Document {
        Document { key: LeaseKey::new(key).unwrap(), version: Version::new("1"), value: vec![0; bytes] }
    }

    /// The bound belongs to what is taken, and the refusal names it.
    #[test]
    fn too_large_a_value_is_refused_with_the_bound() {
        let key = LeaseKey::new("k").unwrap();
        assert!(check_document("x", &key, &vec![0; Document::MAX_BYTES]).is_ok());
        let refused = check_document("x", &key, &vec![0; Document::MAX_BYTES + 1]).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Invalid);
        assert!(refused.to_string().contains("131072") && refused.to_string().contains("\"k\""), "{refused}");
    }

    /// What is left out is told once, and of no more than are bearable.
    #[test]
    fn what_is_left_out_is_told_once() {
        let (left_out, error) = (LeftOut::default(), StoreError::new(StoreErrorKind::Corrupt, "x: not ours"));
        let tell = |n: usize| left_out.tell(&LeaseKey::new(n.to_string()).unwrap(), &error);
        assert!(tell(0) && !tell(0) && tell(1));
        assert_eq!((0..1_000).filter(|n| tell(*n)).count(), LeftOut::TOLD - 2);
    }

    /// A list is sorted, names each key once, leaves out what the prefix does not begin, and has an end.
    #[test]
    fn lists_are_sorted_and_bounded() {
        let mut list = DocumentList::new("x", &KeyPrefix::new("a").unwrap());
        for key in ["ab", "b", "a", "ab", "A"] {
            list.add(document(key, 1)).unwrap();
        }
        let keys: Vec<_> = list.finish().iter().map(|document| document.key.to_string()).collect();
        assert_eq!(keys, ["a", "ab"]);
        let mut list = DocumentList::new("x", &KeyPrefix::default());
        let refused = (0..=512).find_map(|n| list.add(document(&n.to_string(), Document::MAX_BYTES)).err()).unwrap();
        assert!(refused.to_string().contains("longer prefix"), "{refused}");
    }
}
