//! What a worker writes down of itself, one line each, and how it is read while it is being written.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An act begins under this term; the worker was current at a later moment.
    Begin { at: Duration, term: u64 },
    /// The act that began last has ended.
    End { at: Duration },
    /// The file refused this term.
    Refused { term: u64 },
    /// The worker has stopped its election and dropped its store; so many of its tasks were still there.
    Ended { tasks: usize },
}

/// The clock that counts through sleep, and is the same for every process of this machine. No library that fakes clocks
/// reaches it.
pub(crate) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Writes lines to the end of a file that nobody else writes to.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn append_to(path: &Path) -> std::io::Result<Journal> {
        File::options().append(true).create(true).open(path).map(Journal)
    }

    /// One write a line, so that a kill leaves at most the last one unfinished.
    pub(crate) fn write(&mut self, entry: Entry) -> std::io::Result<()> {
        let line = match entry {
            Entry::Begin { at, term } => format!("begin {} {term}\n", at.as_nanos()),
            Entry::End { at } => format!("end {}\n", at.as_nanos()),
            Entry::Refused { term } => format!("refused {term}\n"),
            Entry::Ended { tasks } => format!("ended {tasks}\n"),
        };
        self.0.write_all(line.as_bytes())
    }
}

/// Reads what was added since the last time.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    read: u64,
}

impl Follower {
    pub(crate) fn new(path: PathBuf) -> Follower {
        Follower { path, read: 0 }
    }

    /// Whole lines alone; an unfinished one is left for the next time.
    pub(crate) fn read(&mut self) -> Result<Vec<Entry>, String> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(Vec::new()) };
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.read))
            .and_then(|_| file.read_to_string(&mut text))
            .map_err(|e| e.to_string())?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        self.read += whole.len() as u64;
        whole.lines().map(|line| parse(line).ok_or_else(|| format!("a line that no worker writes: {line:?}"))).collect()
    }
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let (kind, mut number) = (words.next()?, || words.next()?.parse::<u64>().ok());
    Some(match kind {
        "begin" => Entry::Begin { at: Duration::from_nanos(number()?), term: number()? },
        "end" => Entry::End { at: Duration::from_nanos(number()?) },
        "refused" => Entry::Refused { term: number()? },
        "ended" => Entry::Ended { tasks: usize::try_from(number()?).ok()? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read, once, and an unfinished line when it is finished.
    #[test]
    fn lines_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut follower = Follower::new(path.clone());
        assert_eq!(follower.read().unwrap(), []);
        let mut journal = Journal::append_to(&path).unwrap();
        let at = Duration::from_nanos(17);
        let entries =
            [Entry::Begin { at, term: 3 }, Entry::End { at }, Entry::Refused { term: 3 }, Entry::Ended { tasks: 0 }];
        for entry in entries {
            journal.write(entry).unwrap();
        }
        assert_eq!(follower.read().unwrap(), entries);
        journal.0.write_all(b"begin 1").unwrap();
        assert_eq!(follower.read().unwrap(), []);
        journal.0.write_all(b"8 4\n").unwrap();
        assert_eq!(follower.read().unwrap(), [Entry::Begin { at: Duration::from_nanos(18), term: 4 }]);
        journal.0.write_all(b"nonsense\n").unwrap();
        assert!(follower.read().is_err());
    }
}
