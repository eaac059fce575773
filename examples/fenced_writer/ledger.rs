//! A file that refuses whoever has been superseded: the sink's half of fencing.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use tenure::{Fence, Fenced, Term};

/// A file of lines, and beside it the highest term that has written one.
///
/// The same three steps make a fence of any sink: within one transaction read the highest term, refuse a lower one, write
/// the term together with the data. In SQL that is a column and a condition.
#[derive(Debug)]
pub(crate) struct Ledger {
    lines: File,
    highest: File,
}

/// Why a line was not written.
#[derive(Debug)]
pub(crate) enum Refused {
    Fenced(Fenced),
    Io(io::Error),
}

impl Ledger {
    pub(crate) fn open(path: &Path) -> io::Result<Ledger> {
        let lines = File::options().create(true).append(true).open(path)?;
        let beside = path.with_extension("term");
        let highest = File::options().create(true).truncate(false).read(true).write(true).open(beside)?;
        Ok(Ledger { lines, highest })
    }

    /// Appends `line` under `term`, or refuses it because a newer term has written already.
    pub(crate) fn append(&mut self, term: Term, line: &str) -> Result<(), Refused> {
        // One writer at a time, across processes. The lock ends with the process, whatever becomes of it.
        self.highest.lock()?;
        let outcome = self.append_locked(term, line);
        self.highest.unlock()?;
        outcome
    }

    fn append_locked(&mut self, term: Term, line: &str) -> Result<(), Refused> {
        // 1. What has written so far?
        let mut text = String::new();
        self.highest.rewind()?;
        self.highest.read_to_string(&mut text)?;
        let seen = match text.trim() {
            "" => None,
            text => Some(text.parse().ok().and_then(Term::new).ok_or_else(|| io::Error::other("not a term"))?),
        };
        // 2. Refuse a lower term, admit an equal or higher one.
        Fence::above(seen).admit(term).map_err(Refused::Fenced)?;
        // 3. Keep the term before the line, so that a crash in between refuses too much rather than too little. A higher
        //    number has at least as many digits, so it covers the one before.
        if seen != Some(term) {
            self.highest.rewind()?;
            self.highest.write_all(term.to_string().as_bytes())?;
            self.highest.sync_all()?;
        }
        writeln!(self.lines, "{term} {line}")?;
        self.lines.sync_all()?;
        Ok(())
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Refused::Io(error)
    }
}
