//! The file that is open to be written: made safely, known to be ours before anything is done to it, checked at each use.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::access::{self, Layout};
use crate::failure::{FileError, FileErrorKind, OpenError, is_transient};
use crate::format::{Format, Owner};
use crate::group::{Group, Index, Member};
use crate::identity::{Birth, Identity, Incarnation};
use crate::location::Location;
use crate::lock_deadline::LockDeadline;
use crate::log_growth::LogWatch;
use crate::name::FileName;
use crate::node::Node;

/// How a file is opened to be written.
pub struct Opening<'a> {
    /// Its name.
    pub name: &'a FileName,
    /// The sort that it is to be.
    pub format: &'static Format,
    /// Whether it is made where it is missing, and its tables where it is empty. Any number of processes may do so at once.
    pub create: bool,
    /// What the connection is told once it is open, such as `synchronous`.
    pub prepare: &'a dyn Fn(&Connection) -> rusqlite::Result<()>,
    /// How long other openers and writers are waited for.
    pub wait: Duration,
}

/// A connection in write-ahead logging, and the file that it was made to.
#[derive(Debug)]
pub struct OpenFile {
    location: Location,
    identity: Identity,
    member: Arc<Member>,
    deadline: LockDeadline,
}

/// Whether what is open is still what everybody else opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The name leads to the file, and its log and the index of that lie beside it.
    Current,
    /// The name leads elsewhere, or the file, its log or the index was replaced or removed: what is written here, nobody
    /// else will see. Only opening anew helps.
    Replaced,
    /// The file was given another name, a hard link, by which others could open it with another log. It can be used again
    /// when that is gone.
    Linked,
}

/// What is left of a log that has grown and is begun anew, in bytes.
const SMALL_LOG: i64 = 16 * 1024 * 1024;

impl OpenFile {
    /// Opens the file to write; makes it and its tables where it is told to.
    ///
    /// A file of another program, of another sort or of a newer format is refused, and stays as it is to the byte.
    pub fn open(opening: &Opening<'_>) -> Result<OpenFile, FileError> {
        let deadline = LockDeadline::new(opening.wait);
        loop {
            let failed = match try_open(opening, &deadline) {
                Ok(Some(open)) => return Ok(open),
                Ok(None) => None,
                Err(OpenError::Refused(error)) if error.kind() == FileErrorKind::Unavailable => Some(error),
                Err(OpenError::Refused(error)) => return Err(error),
                Err(OpenError::Sqlite(error)) if is_transient(&error) => Some(FileError::of(opening.name, error)),
                Err(OpenError::Sqlite(error)) => return Err(FileError::of(opening.name, error)),
            };
            if deadline.is_over() {
                return Err(failed.unwrap_or_else(|| FileError::replaced(opening.name)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the file is still the one that everybody else opens. Asks the file system, and takes no lock.
    pub fn state(&self) -> State {
        match Identity::read(&self.location) {
            Ok(now) if now == self.identity => State::Current,
            Ok(now) if (Identity { linked: false, ..now }) == self.identity => State::Linked,
            // What cannot be looked at is told by the next opening.
            _ => State::Replaced,
        }
    }

    /// What to say of a file that is [`State::Linked`].
    pub fn linked(&self) -> FileError {
        self.location.linked(self.location.real(), FileErrorKind::Unavailable)
    }

    /// Uses the connection, which waits so long for locks. `None` where it was closed because another part of this process
    /// found the file replaced.
    pub fn with<R>(&self, wait: Duration, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        self.deadline.renew(wait);
        self.member.with(act)
    }

    /// Lets the watch look at the log, after something was written.
    pub(crate) fn look_at_log(&self, watch: &mut LogWatch) {
        self.member.with(|connection| watch.look(&self.location, connection));
    }

    /// Closes a file that was replaced, and keeps its log out of the one that took its place.
    pub fn retire(self) {
        self.identity.remove_stale_companions(&self.location);
    }

    /// Which file it is, in words that can be kept. `None` where the name leads to another one by now.
    pub fn birth(&self) -> Option<Birth> {
        let found = self.location.metadata().ok().flatten()?;
        (Some(Node::of(&found)) == self.identity.database).then(|| Birth::of(&found))
    }

    /// What it has open.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation { real: self.location.real().to_owned(), identity: self.identity }
    }

    /// Which file it is.
    pub fn node(&self) -> Option<Node> {
        self.identity.database
    }
}

/// `None` where the file changed meanwhile, and it should be tried again.
fn try_open(opening: &Opening<'_>, deadline: &LockDeadline) -> Result<Option<OpenFile>, OpenError> {
    let location = Location::find(opening.name)?;
    let looking = |error| OpenError::Refused(FileError::looking(&location, error));
    let Some(layout) = Layout::read(&location).map_err(looking)? else {
        if !opening.create {
            return Err(location.missing().into());
        }
        // Which file is open can only be told by opening one that is there.
        create(&location)?;
        return Ok(None);
    };
    if let Some(denied) = location.not_writable() {
        return Err(denied.into());
    }
    let member = Group::of(layout.node).open(&location, Index::Writes, || {
        // 1. Before anything is done to it.
        match access::owner(&location, opening.format)? {
            None => return Ok(None),
            Some(Owner::Nobody) if !opening.create => {
                return Err(location.failure(FileErrorKind::Missing, "the file is empty").into());
            }
            Some(_) => {}
        }
        // 2. The same file, in write-ahead logging.
        let mut connection = connect(&location, OpenFlags::empty())?;
        if Identity::read(&location).map_err(looking)?.database != Some(layout.node) {
            return Ok(None);
        }
        if connection.is_readonly("main")? {
            let what = "not writable; let this user write the file and its folder";
            return Err(location.failure(FileErrorKind::Denied, what).into());
        }
        deadline.install(&mut connection)?;
        // Should it turn out to be somebody else's after all, its log stays as it is.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let owner = opening.format.owner(&connection, &location)?;
        switch_to_wal(&connection, &location)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        connection.pragma_update(None, "journal_size_limit", SMALL_LOG)?;
        (opening.prepare)(&connection)?;
        if owner == Owner::Nobody {
            make_tables(&mut connection, opening.format, &location)?;
        }
        // 3. The log and its index are there: what this process maps is what others find.
        let identity = Identity::read(&location).map_err(looking)?;
        let whole = identity.database == Some(layout.node) && identity.companions.iter().all(Option::is_some);
        Ok(whole.then_some((connection, identity)))
    })?;
    // A second name that came meanwhile is found by the first use.
    Ok(member.map(|(member, identity)| OpenFile {
        location: location.clone(),
        identity: Identity { linked: false, ..identity },
        member,
        deadline: deadline.clone(),
    }))
}

/// Makes an empty file with the rights that the process gives to what it makes (`umask`), for others to read at most; SQLite would give
/// the group no right to write. A folder that hands its group on to new files, and that the group may write to, is shared by that
/// group: so is the file then. The log and its index get the file's rights from SQLite.
fn create(location: &Location) -> Result<(), OpenError> {
    use rustix::fs::{CWD, FileType, Mode};
    let failed = |error: rustix::io::Errno| FileError::making(location, error.into());
    // Not opened: closing a descriptor would give up the locks of those who have come before.
    #[cfg(target_os = "linux")]
    match rustix::fs::mknodat(CWD, location.real(), FileType::RegularFile, Mode::from_raw_mode(0o664), 0) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        // Some file systems know no such call.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            drop(connect(location, OpenFlags::SQLITE_OPEN_CREATE)?);
        }
        Err(error) => return Err(failed(error).into()),
    }
    #[cfg(not(target_os = "linux"))]
    drop(connect(location, OpenFlags::SQLITE_OPEN_CREATE)?);
    share_with_group(location).map_err(failed)?;
    Ok(())
}

/// Lets the group read and write the file where the folder is shared by it.
fn share_with_group(location: &Location) -> Result<(), rustix::io::Errno> {
    use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};
    let Some(folder) = location.real().parent() else { return Ok(()) };
    let shared = Mode::SGID | Mode::WGRP;
    if !stat(folder).is_ok_and(|found| Mode::from_raw_mode(found.st_mode).contains(shared)) {
        return Ok(());
    }
    // The group may put something else in the file's place, even a link to a file that is not the group's. So what is changed is what was
    // looked at; a descriptor that only names the file gives up nobody's locks when it is closed.
    #[cfg(target_os = "linux")]
    {
        let file = open(location.real(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let found = fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
            let named = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            rustix::fs::chmod(named, Mode::from_raw_mode(found.st_mode) | Mode::RGRP | Mode::WGRP)?;
        }
    }
    Ok(())
}

fn connect(location: &Location, further: OpenFlags) -> rusqlite::Result<Connection> {
    // The real path holds no symlink; one that came there since is not followed. No mutex: one thread at a time holds it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(location.real(), flags | further)
}

/// Write-ahead logging, without which readers and writers would lock each other out. Of several switchers all but one
/// are told at once that the file is busy; the caller tries again.
fn switch_to_wal(connection: &Connection, location: &Location) -> Result<(), OpenError> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    let what =
        format_args!("this file system cannot do write-ahead logging (the journal stays {mode:?}); use a local disk");
    Err(location.failure(FileErrorKind::Unsafe, what).into())
}

/// Of several creators one comes first; the others see its tables here.
fn make_tables(connection: &mut Connection, format: &Format, location: &Location) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if format.owner_now(&transaction, location)? == Owner::Nobody {
        transaction.execute_batch(format.tables)?;
    }
    transaction.commit()?;
    Ok(())
}
