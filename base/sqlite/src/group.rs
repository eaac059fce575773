//! All connections of this process to one file, so that they are closed together where they must be.
//!
//! SQLite keeps one index of the log for all connections of a process to a file. As long as one of them is open, the next
//! one gets that index, also where log and index were removed meanwhile and other processes have made new ones; and where
//! the first of them could only read it, a writer could not write. So before one is opened, those that it must not
//! share with are closed; whoever uses them opens anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use rusqlite::Connection;

use crate::failure::{FileError, OpenError};
use crate::identity::{Identity, companions};
use crate::location::Location;
use crate::node::Node;

/// The groups of the files that this process has open.
static GROUPS: Mutex<BTreeMap<Node, Weak<Group>>> = Mutex::new(BTreeMap::new());

/// The connections to one file. While it is locked, none is opened.
#[derive(Debug, Default)]
pub(crate) struct Group(Mutex<Vec<Weak<Member>>>);

/// A connection that somebody uses, and that somebody else may close.
#[derive(Debug)]
pub(crate) struct Member {
    connection: Mutex<Option<Connection>>,
    companions: [Option<Node>; 2],
    index: Index,
    // Keeps the group as long as it has members.
    _group: Arc<Group>,
}

/// What a connection may do to the log's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    /// Make, repair and change it.
    Writes,
    /// Look at it.
    Reads,
}

impl Group {
    /// The group of this file.
    pub(crate) fn of(node: Node) -> Arc<Group> {
        let mut groups = lock(&GROUPS);
        // Files that are no longer open go, so that the table stays as small as what is.
        groups.retain(|_, group| group.strong_count() > 0);
        if let Some(group) = groups.get(&node).and_then(Weak::upgrade) {
            return group;
        }
        let group = Arc::<Group>::default();
        groups.insert(node, Arc::downgrade(&group));
        group
    }

    /// Opens a connection while nobody else in this process opens one to the file, after those are closed that it must not
    /// share an index with. `None` where it should be tried again: `open` says so, or one of those is in use.
    pub(crate) fn open(
        self: &Arc<Self>,
        location: &Location,
        index: Index,
        open: impl FnOnce() -> Result<Option<(Connection, Identity)>, OpenError>,
    ) -> Result<Option<(Arc<Member>, Identity)>, OpenError> {
        let mut members = lock(&self.0);
        members.retain(|member| member.strong_count() > 0);
        let now = companions(location).map_err(|error| FileError::looking(location, error))?;
        let mut index = index;
        for member in members.iter().filter_map(Weak::upgrade) {
            let stale = member.companions != now;
            let weaker = index == Index::Writes && member.index == Index::Reads;
            if (stale || weaker) && !member.try_close() {
                return Ok(None);
            }
            // A reader beside a writer shares the index that the writer opened.
            if !stale && member.index == Index::Writes && member.is_open() {
                index = Index::Writes;
            }
        }
        let Some((connection, identity)) = open()? else { return Ok(None) };
        let member = Arc::new(Member {
            connection: Mutex::new(Some(connection)),
            companions: identity.companions,
            index,
            _group: Arc::clone(self),
        });
        members.push(Arc::downgrade(&member));
        Ok(Some((member, identity)))
    }
}

impl Member {
    /// Uses the connection; `None` where it was closed.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        lock(&self.connection).as_mut().map(act)
    }

    fn is_open(&self) -> bool {
        match self.connection.try_lock() {
            Ok(connection) => connection.is_some(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().is_some(),
            Err(TryLockError::WouldBlock) => true,
        }
    }

    /// Closes the connection, unless it is in use.
    fn try_close(&self) -> bool {
        match self.connection.try_lock() {
            Ok(mut connection) => drop(connection.take()),
            Err(TryLockError::Poisoned(poisoned)) => drop(poisoned.into_inner().take()),
            Err(TryLockError::WouldBlock) => return false,
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked left a list, or a connection whose transaction is rolled back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
