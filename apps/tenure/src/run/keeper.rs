//! The watchdog as `tenure run` sees it: started, told, listened to, and cleared away should it fail.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tenure::Time;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::link::{self, Arrival, Charge, Inbox, Order, Report, Start};
use super::mask::Mask;
use super::spare::{Cleared, Spare};
use super::watchdog;
use crate::process;

/// How many messages may wait for a watchdog that does not listen. Of those beyond, only the few are told that end
/// something: without the renewals it will act too soon, and signals count once, however often they are sent.
const MOST_UNSENT: usize = 64;
/// How long a watchdog with nothing to do may take to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// The first pause before a watchdog is replaced, which doubles from death to death.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
/// The longest one.
const MOST_PAUSE: Duration = Duration::from_secs(5);
/// A watchdog that has lived that long died of something else than the one before. Longer than every pause.
const PROVEN: Duration = Duration::from_secs(10);

/// A watchdog that was started.
#[derive(Debug)]
pub(super) struct Keeper {
    pid: Pid,
    link: UnixStream,
    inbox: Inbox,
    /// Each with the descriptors that go with its first byte.
    unsent: VecDeque<(Vec<u8>, Vec<BorrowedFd<'static>>)>,
    /// The folder of the status file, to clear away after a watchdog that cannot.
    folder: Option<PathBuf>,
    /// The control group's.
    group: Option<PathBuf>,
}

/// What the watchdog says, or that it says nothing any more.
#[derive(Debug)]
pub(super) enum News {
    /// It said this.
    Report(Report),
    /// It has died, or talks nonsense.
    Gone,
}

impl Keeper {
    /// Starts a watchdog in a process group of its own, out of reach of the terminal's signals.
    pub(super) fn hire(charge: &Charge) -> Result<Keeper> {
        let (link, theirs) = StdUnixStream::pair().context("cannot make a pair of sockets")?;
        link.set_nonblocking(true)?;
        let child = Command::new(process::own_program().context("cannot find this program's own file")?)
            .arg0("tenure")
            .args([watchdog::NAME, &Mask::of_caller().word(), &charge.lease])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        let pid = Pid::from_child(&child);
        let link = UnixStream::from_std(link)?;
        let mut keeper =
            Keeper { pid, link, inbox: Inbox::default(), unsent: VecDeque::new(), folder: None, group: None };
        keeper.tell(&Order::Know(charge.clone()));
        Ok(keeper)
    }

    /// Its process.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Tells it to start a command, with this process's own standard streams.
    pub(super) fn start(&mut self, start: Start) {
        let streams = vec![rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        self.send(&Order::Start(Box::new(start)), streams);
    }

    /// Tells it something. What it cannot take now waits.
    pub(super) fn tell(&mut self, order: &Order) {
        let dispensable =
            matches!(order, Order::Extend { .. } | Order::Pass { .. } | Order::Suspend | Order::Resume | Order::Ask);
        if self.unsent.len() < MOST_UNSENT || !dispensable {
            self.send(order, Vec::new());
        }
    }

    fn send(&mut self, order: &Order, streams: Vec<BorrowedFd<'static>>) {
        // Everything that can be said can be encoded.
        if let Ok(line) = link::encode(order) {
            self.unsent.push_back((line, streams));
        }
        // Its end is noticed by reading.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some((bytes, streams)) = self.unsent.front_mut() {
            let sent = link::send(&self.link, bytes, streams)?;
            streams.clear();
            bytes.drain(..sent);
            if bytes.is_empty() {
                self.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// Waits for what it says. May be dropped and called again.
    pub(super) async fn next(&mut self) -> News {
        loop {
            match self.inbox.next() {
                Ok(Some(report)) => {
                    if let Report::Started { folder, group, .. } = &report {
                        self.folder = Some(folder.into());
                        self.group = group.as_ref().map(PathBuf::from);
                    }
                    return News::Report(report);
                }
                Ok(None) => {}
                Err(_) => return News::Gone,
            }
            let interest =
                if self.unsent.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let Ok(ready) = self.link.ready(interest).await else { return News::Gone };
            if ready.is_writable() && !self.unsent.is_empty() && self.flush().is_err() {
                // Says the runtime that it is not writable, so that the next wait is one.
                let full = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
                let _ = self.link.try_io(Interest::WRITABLE, full);
            }
            let inbox = &mut self.inbox;
            let link = &self.link;
            let arrival = link.try_io(Interest::READABLE, || match inbox.receive(link)? {
                Arrival::Nothing => Err(io::ErrorKind::WouldBlock.into()),
                arrival => Ok(arrival),
            });
            match arrival {
                Ok(Arrival::Closed) => return News::Gone,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return News::Gone,
                _ => {}
            }
        }
    }

    /// The file of CMD's control group that kills everything in it, where there is one.
    pub(super) fn kill_switch(&self) -> Option<File> {
        File::options().write(true).open(self.group.as_ref()?.join("cgroup.kill")).ok()
    }

    /// Kills the watchdog and everything below this process, and reaps it all: nothing is left then. Takes as long as that
    /// takes. Answers how the command ended, and who was killed.
    pub(super) async fn clear_away(self, command: Option<Pid>, spare: &Spare) -> Result<Cleared> {
        let _ = kill_process(self.pid, Signal::KILL);
        if let Some(group) = &self.group {
            // Where that can be done it is over at once; what follows needs no descriptor.
            let _ = std::fs::write(group.join("cgroup.kill"), "1");
        }
        let cleared = spare.clear(command, self.pid).await.context("the thread that is kept for the end has ended")?;
        if let Some(folder) = &self.folder {
            // The watchdog may have removed it before it died.
            let _ = std::fs::remove_dir_all(folder);
        }
        if let Some(group) = &self.group {
            let _ = std::fs::remove_dir(group);
        }
        Ok(cleared)
    }

    /// Ends a watchdog that has nothing to do any more.
    pub(super) async fn dismiss(mut self) {
        self.tell(&Order::Quit);
        let gone = async { while !matches!(self.next().await, News::Gone) {} };
        if tokio::time::timeout(FAREWELL, gone).await.is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        // It has closed its end, so it is ending.
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// Reaps a watchdog that has died without a command.
    pub(super) fn bury(self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// Takes the watchdog out of the runtime, which is about to end: its process, and this end of the link.
    pub(super) fn into_parts(self) -> io::Result<(Pid, StdUnixStream)> {
        Ok((self.pid, self.link.into_std()?))
    }
}

/// When a watchdog that died during a campaign is replaced: soon, but where one after the other dies, ever later.
#[derive(Debug)]
pub(super) struct Vacancies {
    pause: Duration,
    /// When the last watchdog was hired, or died.
    since: Time,
    told: bool,
}

impl Vacancies {
    /// There has been none yet.
    pub(super) fn new(now: Time) -> Vacancies {
        Vacancies { pause: LEAST_PAUSE, since: now, told: false }
    }

    /// A watchdog was hired.
    pub(super) fn filled(&mut self, now: Time) {
        self.since = now;
    }

    /// A watchdog died, or could not be started; answers when to hire the next one.
    pub(super) fn opened(&mut self, now: Time) -> Time {
        if now.since(self.since) >= PROVEN {
            *self = Vacancies::new(now);
        }
        self.since = now;
        let until = now + self.pause;
        self.pause = (self.pause * 2).min(MOST_PAUSE);
        until
    }

    /// Whether it is the first time since watchdogs die that the user would be told of one that could not be started.
    pub(super) fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Watchdogs that die one after the other are replaced ever later; one that has lived for a while is replaced soon, and
    /// its death is news again.
    #[test]
    fn dying_watchdogs_are_replaced_ever_later() {
        let mut now = Time::ZERO;
        let mut vacancies = Vacancies::new(now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            vacancies.filled(now);
            let until = vacancies.opened(now);
            pauses.push(until.since(now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(vacancies.is_news() && !vacancies.is_news());
        // None could be started, however long ago the last one was.
        for _ in 0..9 {
            let until = vacancies.opened(now);
            assert_eq!(until.since(now), MOST_PAUSE);
            now = until;
        }
        assert!(!vacancies.is_news());
        vacancies.filled(now);
        let died = now + PROVEN;
        assert_eq!(vacancies.opened(died).since(died), LEAST_PAUSE);
        assert!(vacancies.is_news());
    }

    /// Signals and renewals for a watchdog that does not listen do not pile up; what ends something is still told.
    #[tokio::test]
    async fn what_a_deaf_watchdog_is_told_is_bounded() {
        let (link, _theirs) = StdUnixStream::pair().unwrap();
        link.set_nonblocking(true).unwrap();
        let mut keeper = Keeper {
            pid: rustix::process::getpid(),
            link: UnixStream::from_std(link).unwrap(),
            inbox: Inbox::default(),
            unsent: VecDeque::new(),
            folder: None,
            group: None,
        };
        for _ in 0..50_000 {
            keeper.tell(&Order::Pass { signal: 10 });
            keeper.tell(&Order::Suspend);
        }
        assert_eq!(keeper.unsent.len(), MOST_UNSENT);
        keeper.tell(&Order::Kill);
        assert_eq!(keeper.unsent.len(), MOST_UNSENT + 1);
    }
}
