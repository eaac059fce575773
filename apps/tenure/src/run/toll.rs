//! What had to be ended, so that somebody can be told: a command that put itself into the background would else vanish
//! without a word.

use std::fmt;

use rustix::process::Pid;

use crate::process::{Comm, Sent};

/// How many processes are remembered; more are only known to be more.
const MOST: usize = 64;
/// How many are named.
const NAMED: usize = 3;

/// The processes that got a signal.
#[derive(Debug)]
pub(super) struct Toll {
    /// Made with room for all that it ever holds.
    processes: Vec<(Pid, Comm)>,
    more: bool,
}

impl Toll {
    /// Nobody yet.
    pub(super) fn new() -> Toll {
        Toll { processes: Vec::with_capacity(MOST), more: false }
    }

    /// Takes note of a signal; who did not get it, or had one before, changes nothing.
    pub(super) fn note(&mut self, pid: Pid, sent: Sent) {
        if let Sent::Delivered(comm) = sent {
            self.add(pid, comm);
        }
    }

    /// Takes note of a process; answers whether it is a new one.
    pub(super) fn add(&mut self, pid: Pid, comm: Comm) -> bool {
        if self.processes.iter().any(|(known, _)| *known == pid) {
            return false;
        }
        if self.processes.len() == MOST {
            return !std::mem::replace(&mut self.more, true);
        }
        self.processes.push((pid, comm));
        true
    }

    /// Whether nobody had to be ended.
    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        self.processes.clear();
        self.more = false;
    }

    /// How many there were, in words.
    pub(super) fn count(&self) -> String {
        match (self.processes.len(), self.more) {
            (MOST, true) => format!("more than {MOST} processes"),
            (1, _) => "1 process".to_owned(),
            (count, _) => format!("{count} processes"),
        }
    }
}

impl fmt::Display for Toll {
    /// The first of them by number and name, and how many more there were.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (pid, comm)) in self.processes.iter().take(NAMED).enumerate() {
            write!(f, "{}{} ({comm})", if place > 0 { ", " } else { "" }, pid.as_raw_nonzero())?;
        }
        match (self.processes.len().saturating_sub(NAMED), self.more) {
            (_, true) => f.write_str(" and many more"),
            (0, false) => Ok(()),
            (more, false) => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first ones are named, the others counted, and nobody twice.
    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let mut toll = Toll::new();
        assert!(toll.is_empty());
        let pid = |number| Pid::from_raw(number).unwrap();
        for number in [7, 8, 7] {
            toll.note(pid(number), Sent::Delivered(Comm::default()));
        }
        toll.note(pid(9), Sent::Gone);
        assert_eq!((toll.to_string(), toll.count()), ("7 (), 8 ()".to_owned(), "2 processes".to_owned()));
        assert!((10..14).all(|number| toll.add(pid(number), Comm::default())));
        assert_eq!(toll.to_string(), "7 (), 8 (), 10 () and 3 more");
        assert_eq!((100..300).filter(|number| toll.add(pid(*number), Comm::default())).count(), 59);
        assert_eq!(toll.count(), "more than 64 processes");
        assert!(toll.to_string().ends_with("and many more"));
        toll.clear();
        assert!(toll.is_empty());
    }
}
