//! Reading a file, alone or beside those who write, without making, changing or leaving behind anything.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::access::{self, Layout, ReadMode};
use crate::failure::{FileError, FileErrorKind, OpenError, is_busy, is_transient};
use crate::format::{Format, Owner};
use crate::group::{Group, Index, Member};
use crate::identity::Identity;
use crate::location::Location;
use crate::lock_deadline::LockDeadline;
use crate::name::FileName;
use crate::node::Node;

/// A file that is looked at. It is opened with the first look, and anew whenever it was replaced.
///
/// It works where nothing can be written: for a user who may only read, in a folder or on a file system that is read-only.
/// A file of another program, of another sort or of a newer format is refused.
#[derive(Debug)]
pub struct Reader {
    name: FileName,
    format: &'static Format,
    open: Option<Open>,
    // The database that was open last.
    last: Option<Node>,
    epoch: u64,
}

#[derive(Debug)]
enum Open {
    /// Beside those who write, or wrote last.
    Shared { location: Location, identity: Identity, member: Arc<Member>, deadline: LockDeadline, version: Option<i64> },
    /// The file alone: nobody has it open to write.
    Immutable { location: Location, layout: Box<Layout>, connection: Connection },
}

impl Reader {
    /// A reader of the file that the name leads to. Nothing is opened yet.
    pub fn new(name: FileName, format: &'static Format) -> Reader {
        Reader { name, format, open: None, last: None, epoch: 0 }
    }

    /// Reads one consistent state, waiting so long for others; `None` where the file is empty. What is read while the file
    /// changes in a way that could show in it is read again, so `act` may be called more than once.
    pub fn read<T>(
        &mut self,
        wait: Duration,
        mut act: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, FileError> {
        let deadline = LockDeadline::new(wait);
        loop {
            if !self.ensure_open(&deadline)? {
                return Ok(None);
            }
            let result = match &mut self.open {
                Some(Open::Shared { member, deadline, .. }) => {
                    deadline.renew(wait);
                    member.with(|connection| connection.unchecked_transaction().and_then(|reading| act(&reading)))
                }
                Some(Open::Immutable { connection, .. }) => Some(act(connection)),
                None => None,
            };
            let still_there = self.is_current();
            // A write in the same moment would not show.
            let settled =
                deadline.is_over() || !matches!(&self.open, Some(Open::Immutable { layout, .. }) if layout.is_fresh());
            match result {
                Some(Ok(value)) if still_there && settled => return Ok(Some(value)),
                Some(Ok(_)) => self.close(),
                Some(Err(error)) if still_there && (!is_transient(&error) || deadline.is_over()) => {
                    if !is_busy(&error) {
                        self.close();
                    }
                    return Err(self.format.failure(&self.name, error));
                }
                Some(Err(_)) if still_there => {}
                _ => self.close(),
            }
            if deadline.is_over() {
                return Err(FileError::replaced(&self.name));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether something may have been written since the last call that said so; also where the file was opened anew.
    /// Cheap while nobody writes. What is written after the call is told by the next one.
    pub fn changed(&mut self, wait: Duration) -> Result<bool, FileError> {
        let is_open = self.open.is_some() && self.is_current();
        match &mut self.open {
            Some(Open::Shared { member, version, deadline, .. }) if is_open => {
                deadline.renew(wait);
                match member.with(|connection| data_version(connection)) {
                    Some(Ok(now)) => return Ok(version.replace(now) != Some(now)),
                    // It can be asked again in a moment; nothing that was written is forgotten.
                    Some(Err(error)) if is_transient(&error) => return Ok(false),
                    Some(Err(error)) => {
                        self.close();
                        return Err(FileError::of(&self.name, error));
                    }
                    None => {}
                }
            }
            // What is cached of it was read before a write that does not show.
            Some(Open::Immutable { layout, .. }) if is_open && !layout.is_fresh() => return Ok(false),
            _ => {}
        }
        self.close();
        self.ensure_open(&LockDeadline::new(wait))?;
        if let Some(Open::Shared { member, version, .. }) = &mut self.open {
            *version = member.with(|connection| data_version(connection)).and_then(Result::ok);
        }
        Ok(true)
    }

    /// Counts how often the file was replaced by another one, or lost its log, since the reader was made: what was read
    /// before says nothing about what is read after.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which file was read last.
    pub fn node(&self) -> Option<Node> {
        self.last
    }

    fn is_current(&self) -> bool {
        self.open.as_ref().is_some_and(Open::is_current)
    }

    fn close(&mut self) {
        let had_log = matches!(self.open, Some(Open::Shared { .. }));
        if had_log && !self.is_current() {
            // The next opening counts this, and a new database with it, as one.
            self.last = None;
            self.epoch += 1;
        }
        self.open = None;
    }

    /// Opens the file where it is not open; `false` where it is empty.
    fn ensure_open(&mut self, deadline: &LockDeadline) -> Result<bool, FileError> {
        while self.open.is_none() {
            let failed = match self.try_open(deadline) {
                Ok(Some(open)) => {
                    let node = match &open {
                        Open::Shared { identity, .. } => identity.database,
                        Open::Immutable { layout, .. } => Some(layout.node),
                    };
                    self.epoch += u64::from(self.last.is_some() && self.last != node);
                    self.last = node;
                    self.open = Some(open);
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(OpenError::Refused(error)) if error.kind() == FileErrorKind::Unavailable => error,
                Err(OpenError::Refused(error)) => return Err(error),
                Err(OpenError::Sqlite(error)) if is_transient(&error) => FileError::of(&self.name, error),
                Err(OpenError::Sqlite(error)) => return Err(FileError::of(&self.name, error)),
            };
            if deadline.is_over() {
                return Err(failed);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// `None` where the file is empty.
    fn try_open(&self, deadline: &LockDeadline) -> Result<Option<Open>, OpenError> {
        let location = Location::find(&self.name)?;
        let looking = |error| OpenError::Refused(FileError::looking(&location, error));
        let Some(layout) = Layout::read(&location).map_err(looking)? else {
            return Err(location.missing().into());
        };
        match layout.read_mode() {
            ReadMode::Empty => Ok(None),
            ReadMode::Immutable => {
                let found = access::open_immutable(&location)
                    .map_err(OpenError::from)
                    .and_then(|connection| Ok((self.format.owner(&connection, &location)?, connection)));
                if !is_unchanged(&location, &layout) {
                    return Err(FileError::replaced(&self.name).into());
                }
                let (owner, connection) = found?;
                if owner == Owner::Ours {
                    self.format.check_whole(&connection, &location)?;
                }
                Ok((owner == Owner::Ours).then_some(Open::Immutable { location, layout: Box::new(layout), connection }))
            }
            ReadMode::Shared => {
                let mut owner = Owner::Nobody;
                let opened = Group::of(layout.node).open(&location, Index::Reads, || {
                    let before = Identity::read(&location).map_err(looking)?;
                    let mut connection = access::open_shared(&location)?;
                    deadline.install(&mut connection)?;
                    owner = self.format.owner(&connection, &location)?;
                    if owner == Owner::Ours {
                        self.format.check_whole(&connection, &location)?;
                    }
                    let identity = Identity::read(&location).map_err(looking)?;
                    let is_same = identity == before && identity.database == Some(layout.node);
                    Ok(is_same.then_some((connection, identity)))
                });
                let (member, identity) = match opened {
                    Ok(Some(opened)) => opened,
                    // Those who write may have closed it, and taken log and index along.
                    Err(OpenError::Sqlite(error)) if !is_unchanged(&location, &layout) => {
                        return Err(FileError::changing(&self.name, error).into());
                    }
                    Err(error) => return Err(error),
                    Ok(None) => return Err(FileError::replaced(&self.name).into()),
                };
                let deadline = deadline.clone();
                let open = Open::Shared { location, identity, member, deadline, version: None };
                Ok((owner == Owner::Ours).then_some(open))
            }
            access => {
                // Whose it is can be told from the file alone.
                access::owner(&location, self.format)?;
                Err(access::unreadable(&location, access).into())
            }
        }
    }
}

impl Open {
    /// Whether this is still what the name leads to, and can still be read in the same way.
    fn is_current(&self) -> bool {
        match self {
            // A second name that it was given does no harm to a reader.
            Open::Shared { location, identity, .. } => Identity::read(location)
                .is_ok_and(|now| (now.database, now.companions) == (identity.database, identity.companions)),
            Open::Immutable { location, layout, .. } => is_unchanged(location, layout),
        }
    }
}

/// Whether the name leads to the file, and that was not written since.
fn is_unchanged(location: &Location, layout: &Layout) -> bool {
    let is_named = || location.is_direct() || location.named().is_ok_and(|named| named == Some(layout.node));
    Layout::read(location).is_ok_and(|now| now.as_ref() == Some(layout)) && is_named()
}

/// How long a reader leaves alone a file that is just being changed.
const PAUSE: Duration = Duration::from_millis(2);

/// The number changes when another connection has committed; asking it costs no read of the tables.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
