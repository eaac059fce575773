//! Where a record or a document lies, and one name for both.

use tenure_core::LeaseKey;

/// Where something lies: the leases and the documents of a server are apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Which of the two it is.
    pub kind: Kind,
    /// Under which key.
    pub key: LeaseKey,
}

/// The two things that a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Records of leases.
    Lease,
    /// Documents: values without a holder and without an end.
    Document,
}

impl Place {
    /// The place of the lease of `key`.
    pub fn lease(key: &LeaseKey) -> Place {
        Place { kind: Kind::Lease, key: key.clone() }
    }

    /// The place of the document `key`.
    pub fn document(key: &LeaseKey) -> Place {
        Place { kind: Kind::Document, key: key.clone() }
    }

    /// One name for both kinds, for servers that keep them side by side: `KEY`, and `doc/KEY` of a document. No two places
    /// have the same: a lease whose own key begins with `doc/` has a sign there that no key holds.
    pub fn path(&self) -> String {
        self.kind.path_prefix(self.key.as_str())
    }

    /// The place of this kind that has this path. `None` where it is of the other kind, or of no place at all.
    pub fn of_path(kind: Kind, path: &str) -> Option<Place> {
        let (found, key) = match path.strip_prefix(Kind::Document.folder()) {
            Some(rest) => match rest.strip_prefix(LEASE) {
                Some(rest) => (Kind::Lease, format!("{}{rest}", Kind::Document.folder())),
                None => (Kind::Document, rest.to_owned()),
            },
            None => (Kind::Lease, path.to_owned()),
        };
        let key = LeaseKey::new(key).ok()?;
        (found == kind).then_some(Place { kind, key })
    }
}

/// Stands behind `doc/` in the path of a lease whose key begins so.
const LEASE: char = '\u{1}';

impl Kind {
    /// What stands before the keys of this kind in [`Place::path`].
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Lease => "",
            Kind::Document => "doc/",
        }
    }

    /// What the paths of all places begin with whose keys begin with `prefix`. Places of the other kind may have it too:
    /// [`Place::of_path`] tells.
    pub fn path_prefix(self, prefix: &str) -> String {
        match (self, prefix.strip_prefix(Kind::Document.folder())) {
            (Kind::Lease, Some(rest)) => format!("{}{LEASE}{rest}", Kind::Document.folder()),
            _ => format!("{}{prefix}", self.folder()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place has a path of its own, which tells the place again and begins as the prefixes of its key say.
    #[test]
    fn places_have_paths_of_their_own() {
        let names = ["a", "doc", "doc/", "doc/a", "doc/doc/a", "docs", "/", "é", "doc/é", "a/b"];
        let mut seen = std::collections::HashSet::new();
        for (kind, other) in [(Kind::Lease, Kind::Document), (Kind::Document, Kind::Lease)] {
            for name in names {
                let place = Place { kind, key: LeaseKey::new(name).unwrap() };
                let path = place.path();
                assert_eq!(Place::of_path(kind, &path), Some(place.clone()));
                assert_eq!(Place::of_path(other, &path), None);
                for end in (0..=name.len()).filter(|end| name.is_char_boundary(*end)) {
                    assert!(path.starts_with(&kind.path_prefix(&name[..end])), "{place:?} {:?}", &name[..end]);
                }
                assert!(seen.insert(path), "{place:?}");
            }
        }
        for odd in ["", "doc/", "a\nb", "doc/\u{2}a"] {
            assert_eq!(
                (Place::of_path(Kind::Lease, odd), Place::of_path(Kind::Document, odd)),
                (None, None),
                "{odd:?}"
            );
        }
    }
}
