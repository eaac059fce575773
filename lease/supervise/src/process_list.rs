//! A bounded list of processes for messages: a command that put itself into the background must not be killed without a word.

use std::fmt;

use rustix::process::Pid;

use crate::proc::Comm;
use crate::signal::Delivery;

/// How many processes are kept; of more it is only known that there were more.
const MOST: usize = 64;
/// How many are shown by name.
const NAMED: usize = 3;

/// Processes with their names, each once, at most 64 of them. Shown as the first few and the number of the others.
#[derive(Debug)]
pub struct ProcessList {
    /// Allocated for the most that it ever holds.
    processes: Vec<(Pid, Comm)>,
    more: bool,
}

impl ProcessList {
    /// An empty list. Allocates all that it will ever need.
    pub fn new() -> ProcessList {
        ProcessList { processes: Vec::with_capacity(MOST), more: false }
    }

    /// Adds a process if a signal was delivered to it.
    pub fn add_delivered(&mut self, pid: Pid, sent: Delivery) {
        if let Delivery::Delivered(comm) = sent {
            self.add(pid, comm);
        }
    }

    /// Adds a process; returns whether it was not known before.
    pub fn add(&mut self, pid: Pid, comm: Comm) -> bool {
        if self.processes.iter().any(|(known, _)| *known == pid) {
            return false;
        }
        if self.processes.len() == MOST {
            return !std::mem::replace(&mut self.more, true);
        }
        self.processes.push((pid, comm));
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Removes all of them.
    pub fn clear(&mut self) {
        self.processes.clear();
        self.more = false;
    }

    /// How many there are, in words.
    pub fn count(&self) -> String {
        match (self.processes.len(), self.more) {
            (MOST, true) => format!("more than {MOST} processes"),
            (1, _) => "1 process".to_owned(),
            (count, _) => format!("{count} processes"),
        }
    }
}

impl Default for ProcessList {
    fn default() -> ProcessList {
        ProcessList::new()
    }
}

impl fmt::Display for ProcessList {
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
        let mut list = ProcessList::new();
        assert!(list.is_empty());
        let pid = |number| Pid::from_raw(number).unwrap();
        for number in [7, 8, 7] {
            list.add_delivered(pid(number), Delivery::Delivered(Comm::default()));
        }
        list.add_delivered(pid(9), Delivery::Gone);
        assert_eq!((list.to_string(), list.count()), ("7 (), 8 ()".to_owned(), "2 processes".to_owned()));
        assert!((10..14).all(|number| list.add(pid(number), Comm::default())));
        assert_eq!(list.to_string(), "7 (), 8 (), 10 () and 3 more");
        assert_eq!((100..300).filter(|number| list.add(pid(*number), Comm::default())).count(), 59);
        assert_eq!(list.count(), "more than 64 processes");
        assert!(list.to_string().ends_with("and many more"));
        list.clear();
        assert!(list.is_empty());
    }
}
