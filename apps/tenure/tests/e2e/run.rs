//! `tenure run` with real processes: a scene with one store, runs in it, and a checker that reads what their commands wrote.

mod away;
mod crowds;
mod deaths;
mod ends;
mod flags;
mod handed;
mod limits;
mod nested;
mod pauses;
mod rights;
pub(crate) mod service;
mod slots;
mod streams;
mod terminal;
mod waiting;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tenure_core::{KeyPrefix, LeaseRecord};

use crate::fleet::{DEADLINE, alive, tenure};

/// A ttl that no test outlives: whatever happens here happened without waiting for it.
pub(crate) const LONG: &str = "10m";
/// The lease of the tests.
pub(crate) const KEY: &str = "tests/run";
/// Writes a line each few milliseconds, for as long as it lives: when, who, under which term.
const BEAT: &str =
    "while :; do read up rest < /proc/uptime; echo \"$up $$ $TENURE_TERM\" >> \"$BEATS\"; sleep 0.005; done";

/// A store, and what commands wrote.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
}

/// One `tenure run`. Dropping it ends it with all that belongs to it.
pub(crate) struct Run {
    pub(crate) child: Child,
    pub(crate) errors: PathBuf,
}

/// What a command wrote in one beat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Beat {
    pub(crate) uptime: f64,
    pub(crate) pid: i32,
    pub(crate) term: u64,
}

/// The processes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    pub(crate) tenure: i32,
    pub(crate) watchdog: i32,
    pub(crate) command: i32,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> String {
        format!("sqlite:{}", self.file("leases.db").display())
    }

    /// `tenure run` with these flags, up to the command.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut command = tenure();
        command.args(["run", "--lease", KEY, "--store", &self.store()]).args(flags).arg("--");
        command.env("BEATS", self.file("beats")).env("TMPDIR", self.folder.path());
        command
    }

    /// Starts a run of a shell script.
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Run {
        self.start(self.command(flags).args(["sh", "-c", script]))
    }

    /// Starts a run whose command beats.
    pub(crate) fn beating(&self, flags: &[&str]) -> Run {
        self.run(flags, BEAT)
    }

    pub(crate) fn start(&self, command: &mut Command) -> Run {
        let errors = tempfile::Builder::new().prefix("stderr-").tempfile_in(self.folder.path()).unwrap();
        let (file, errors) = errors.keep().unwrap();
        Run { child: command.stderr(file).spawn().unwrap(), errors }
    }

    /// Runs a shell script to its end; answers how it ended and what it printed.
    pub(crate) fn output(&self, flags: &[&str], script: &str) -> (Option<i32>, String, String) {
        let output = self.command(flags).args(["sh", "-c", script]).stdout(Stdio::piped()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    pub(crate) fn beats(&self) -> Vec<Beat> {
        let text = std::fs::read_to_string(self.file("beats")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let beat = |line: &str| {
            let mut words = line.split(' ');
            let mut next = || words.next().unwrap();
            Beat { uptime: next().parse().unwrap(), pid: next().parse().unwrap(), term: next().parse().unwrap() }
        };
        whole.lines().map(beat).collect()
    }

    /// Waits for a beat of another tenure than those before; answers its processes.
    pub(crate) fn next_tree(&self, after: Option<Tree>) -> Tree {
        let mut command = 0;
        until("a beat", || {
            let last = self.beats().pop();
            command = last.map_or(0, |beat| beat.pid);
            command != 0 && after.is_none_or(|after| after.command != command)
        });
        let watchdog = parent(command);
        Tree { tenure: parent(watchdog), watchdog, command }
    }

    /// No two commands ever beat side by side: what is written later has the same or a later term, and each process has a
    /// term of its own. Answers how many tenures there were.
    pub(crate) fn check(&self) -> usize {
        let beats = self.beats();
        let mut tenures = 0;
        for (place, beat) in beats.iter().enumerate() {
            let before = if place == 0 { None } else { beats.get(place - 1) };
            match before {
                Some(before) if before.pid == beat.pid => assert_eq!(before.term, beat.term, "{before:?} {beat:?}"),
                Some(before) => {
                    assert!(before.term < beat.term && before.uptime <= beat.uptime, "{before:?} {beat:?}");
                    tenures += 1;
                }
                None => tenures += 1,
            }
        }
        tenures
    }

    /// What is held below the tests' key.
    pub(crate) fn leases(&self) -> Vec<LeaseRecord> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let records = runtime.block_on(async {
            let store = tenure_open::open(&self.store()).await.unwrap();
            store.list(&KeyPrefix::new(KEY).unwrap()).await.unwrap()
        });
        runtime.shutdown_background();
        records
    }
}

impl Run {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// What it said on standard error.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("the run's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits until it says that it waits.
    pub(crate) fn waits(&self) {
        until("waiting", || self.errors().contains("waiting for"));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Politely first: a watchdog that is left alone looks for its store until the lease has ended by itself.
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        let give_up = tokio::time::Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if tokio::time::Instant::now() > give_up {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Tree {
    pub(crate) fn all(&self) -> [i32; 3] {
        [self.tenure, self.watchdog, self.command]
    }

    /// Waits until none of it is alive.
    pub(crate) fn gone(&self) {
        until("the end of a tree", || self.all().iter().all(|pid| !alive(*pid)));
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

pub(crate) fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The letter of a process's state: `T` is stopped.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < give_up, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The file's text once it has any.
pub(crate) fn text_of(path: &Path) -> String {
    let mut text = String::new();
    until("a file", || {
        text = std::fs::read_to_string(path).unwrap_or_default();
        text.ends_with('\n')
    });
    text
}
