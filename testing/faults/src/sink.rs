//! A file that refuses older terms, shared by all workers: the last line behind the leases.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tenure::{Fence, Fenced, Term};

/// How long another one may keep it: a worker that is stopped in the middle of a write keeps it for as long as it is stopped.
const PATIENCE: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A file of terms, and beside it the highest of them.
#[derive(Debug)]
pub(crate) struct Sink {
    lines: File,
    highest: File,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// Nothing was written: another one has kept the file for too long.
    Busy,
    /// Nothing was written: a newer term has written before.
    Refused(Fenced),
}

impl Sink {
    pub(crate) fn open(path: &Path) -> io::Result<Sink> {
        let lines = File::options().create(true).append(true).open(path)?;
        let beside = path.with_extension("highest");
        let highest = File::options().create(true).truncate(false).read(true).write(true).open(beside)?;
        Ok(Sink { lines, highest })
    }

    /// Appends the term, or refuses it.
    pub(crate) fn write(&mut self, term: Term) -> io::Result<Written> {
        let mut waited = Duration::ZERO;
        loop {
            match self.highest.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if waited >= PATIENCE => return Ok(Written::Busy),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        let written = self.write_locked(term);
        self.highest.unlock()?;
        written
    }

    fn write_locked(&mut self, term: Term) -> io::Result<Written> {
        let mut text = String::new();
        self.highest.rewind()?;
        self.highest.read_to_string(&mut text)?;
        let seen = text.trim().parse().ok().and_then(Term::new);
        if let Err(fenced) = Fence::above(seen).admit(term) {
            return Ok(Written::Refused(fenced));
        }
        if seen != Some(term) {
            // A higher number has at least as many digits, so it covers the one before.
            self.highest.rewind()?;
            self.highest.write_all(term.to_string().as_bytes())?;
        }
        self.lines.write_all(format!("{term}\n").as_bytes())?;
        Ok(Written::Yes)
    }
}

/// Every term that was written, in order.
pub(crate) fn read(path: &Path) -> Result<Vec<u64>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // A kill may have left the last line unfinished.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole.lines().map(|line| line.parse().map_err(|_| format!("a line that no worker writes: {line:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two openers share what they have seen; the lower term is refused and leaves no trace.
    #[test]
    fn an_older_term_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sink");
        let (mut one, mut two) = (Sink::open(&path).unwrap(), Sink::open(&path).unwrap());
        let term = |number| Term::new(number).unwrap();
        assert_eq!(one.write(term(9)).unwrap(), Written::Yes);
        assert_eq!(two.write(term(10)).unwrap(), Written::Yes);
        assert!(matches!(one.write(term(9)).unwrap(), Written::Refused(Fenced::Stale { .. })));
        assert_eq!(two.write(term(10)).unwrap(), Written::Yes);
        assert_eq!(read(&path).unwrap(), [9, 10, 10]);
    }

    /// Whoever keeps the file keeps others out for a moment, not for ever.
    #[test]
    fn a_file_that_is_kept_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sink");
        let (one, mut two) = (Sink::open(&path).unwrap(), Sink::open(&path).unwrap());
        one.highest.lock().unwrap();
        assert_eq!(two.write(Term::new(1).unwrap()).unwrap(), Written::Busy);
    }
}
