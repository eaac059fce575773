//! The watchdog: CMD's parent, who enforces its deadline whether `tenure run` lives, is stopped or is dead.
//!
//! One thread, one loop, no network and no runtime: it waits for orders, for children and for a boottime timer. Whatever
//! CMD starts comes to this process at the latest when its own parent dies, so that death is proven when nobody is left
//! to wait for. Only after that, and only where `tenure run` cannot, the lease is released from here.

mod job;
mod killer;
mod reaper;
pub(super) mod settlement;
mod timer;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use tenure_core::Time;

use super::link::{self, Arrival, Charge, Inbox, Order, Report};
use super::mask::{self, Mask};
use super::status_file::{self, StatusFile};
use super::terminal::Terminal;
use crate::handed::{self, Handed};
use crate::process::{self, Change, cgroup};
use job::Job;
use killer::Killer;
use reaper::Reaper;
use settlement::{Estate, Settlement};
use timer::Timer;

/// The hidden command that leads here.
pub(crate) const NAME: &str = "run-watchdog";
/// How soon `tenure run` takes note of the end of its command. Where it does not it is stopped, and what it would do about
/// the lease is done from here.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Runs until `tenure run` says that nothing is left to do, or has died and everything of its command too.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let usage = "the watchdog is a part of `tenure run` and not to be called";
    let caller = arguments.next().and_then(|word| Mask::parse(word.to_str()?)).context(usage)?;
    mask::hear_nothing(caller).context("cannot block signals")?;
    process::adopt_orphans().context("cannot become a sub-reaper")?;
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"tenure-watchdog");
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).context(usage)?;
    let mut watchdog = Watchdog::new(UnixStream::from(socket), Terminal::open())?;
    status_file::sweep();
    end_what_was_left();
    watchdog.watch()?;
    Ok(ExitCode::SUCCESS)
}

/// Commands whose `tenure run` and watchdog were killed together: nobody answers for them any more.
fn end_what_was_left() {
    match cgroup::sweep() {
        0 => {}
        1 => say!("tenure: ended what an earlier run had left, whose processes were all killed but the command's"),
        more => {
            say!("tenure: ended what {more} earlier runs had left, whose processes were all killed but the commands'")
        }
    }
}

struct Watchdog {
    link: UnixStream,
    inbox: Inbox,
    orders: VecDeque<Order>,
    unsent: Vec<u8>,
    reaper: Reaper,
    killer: Killer,
    timer: Timer,
    terminal: Option<Terminal>,
    status: Option<StatusFile>,
    charge: Option<Charge>,
    job: Option<Job>,
    /// A tenure whose work has ended, and whose lease `tenure run` has not settled yet.
    owed: Option<Estate>,
    /// By then `tenure run` has taken note of the end, or is stopped.
    heard_by: Option<Time>,
    settlement: Option<Settlement>,
    /// Whether `tenure run` has died.
    alone: bool,
}

impl Watchdog {
    /// One that has nothing to hold yet.
    fn new(link: UnixStream, terminal: Option<Terminal>) -> Result<Watchdog> {
        Ok(Watchdog {
            link,
            inbox: Inbox::default(),
            orders: VecDeque::new(),
            unsent: Vec::new(),
            reaper: Reaper::start().context("cannot start a thread")?,
            killer: Killer::new()?,
            timer: Timer::new().context("cannot make a timer")?,
            terminal,
            status: None,
            charge: None,
            job: None,
            owed: None,
            heard_by: None,
            settlement: Some(Settlement::start().context("cannot start a thread")?),
            alone: false,
        })
    }

    fn watch(&mut self) -> Result<()> {
        loop {
            // What has arrived may move the deadline; then the deadline comes before everything else, so that nothing
            // is continued, started or passed on after it.
            self.listen()?;
            self.enforce(tenure::now());
            while let Some(order) = self.orders.pop_front() {
                if matches!(order, Order::Quit) && self.job.is_none() {
                    return Ok(());
                }
                self.obey(order);
            }
            while let Some(change) = self.reaper.next() {
                self.note(change);
            }
            if self.alone && self.job.is_none() {
                // Nobody reads it any more, and the store may take its time.
                self.status = None;
                if let Some(settlement) = self.settlement.take() {
                    settlement.finish();
                }
                return Ok(());
            }
            self.speak();
            let due = self.job.as_ref().map(Job::due).into_iter().chain(self.heard_by).min();
            self.timer.set(due.unwrap_or(Time::MAX)).context("cannot set the timer")?;
            self.wait()?;
        }
    }

    fn wait(&mut self) -> Result<()> {
        let timer = self.timer.descriptor();
        let children = self.reaper.descriptor();
        let link = self.link.as_fd();
        let mut fds = vec![PollFd::new(&children, PollFlags::IN)];
        if let Some(timer) = &timer {
            fds.push(PollFd::new(timer, PollFlags::IN));
        }
        if !self.alone {
            let writable = if self.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            fds.push(PollFd::new(&link, PollFlags::IN | writable));
        }
        let patience = self.timer.patience().map(|span| Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(span.subsec_nanos()),
        });
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        self.timer.acknowledge();
        Ok(())
    }

    /// Takes what has arrived. A renewal counts at once.
    fn listen(&mut self) -> Result<()> {
        while !self.alone {
            // Whoever garbles what it says is as good as dead.
            match self.inbox.receive(&self.link).unwrap_or(Arrival::Closed) {
                Arrival::Some => {}
                Arrival::Nothing => break,
                Arrival::Closed => {
                    self.take_orders();
                    self.alone = true;
                    // A last word is heard, so that a good end is not taken for a death.
                    if self.job.is_some() || !self.orders.iter().any(|order| matches!(order, Order::Quit)) {
                        self.mourn();
                    }
                }
            }
            self.take_orders();
        }
        Ok(())
    }

    fn take_orders(&mut self) {
        loop {
            match self.inbox.next() {
                Ok(Some(Order::Extend { deadline })) => {
                    if let Some(job) = &mut self.job {
                        job.extend(tenure::now(), deadline.into(), &mut self.killer);
                        if let Some(status) = &mut self.status {
                            status.renew(job.term(), job.deadline());
                        }
                    } else if let Some(start) = self.orders.iter_mut().rev().find_map(Order::as_start) {
                        // It overtook a start that was not looked at yet.
                        start.deadline = start.deadline.max(deadline);
                    }
                }
                Ok(Some(order)) => self.orders.push_back(order),
                Ok(None) => return,
                Err(error) => {
                    say!("tenure: the watchdog did not understand what it was told: {error}");
                    return;
                }
            }
        }
    }

    /// `tenure run` has died: its work ends, and what it held is released from here.
    fn mourn(&mut self) {
        // Nothing is begun any more; only what says what there is to settle still counts.
        for order in std::mem::take(&mut self.orders) {
            match order {
                Order::Know(charge) => self.charge = Some(charge),
                Order::Settled => self.owed = None,
                _ => {}
            }
        }
        if let (Some(charge), Some(settlement)) = (&self.charge, &self.settlement) {
            settlement.prepare(charge);
        }
        self.heard_by = None;
        match &mut self.job {
            Some(job) => job.end(tenure::now(), &mut self.killer),
            None => {
                let estate = self.owed.take().unwrap_or(Estate::Campaign);
                self.inherit(estate);
            }
        }
    }

    /// Does about the lease what `tenure run` does not.
    fn inherit(&self, estate: Estate) {
        if let (Some(charge), Some(settlement)) = (&self.charge, &self.settlement) {
            settlement.inherit(charge, estate);
        }
    }

    fn obey(&mut self, order: Order) {
        let now = tenure::now();
        match (order, &mut self.job) {
            (Order::Know(charge), _) => self.charge = Some(charge),
            // This process stood still meanwhile, perhaps with the whole machine.
            (Order::Start(start), None) if now >= Time::from(start.deadline) - start.kill_lead => {
                drop(self.inbox.take_streams());
                self.report(&Report::Ending);
                let error = "the tenure was over before the command could be started".to_owned();
                self.report(&Report::NotStarted { error });
            }
            (Order::Start(start), None) => {
                let started = self.start(*start);
                match started {
                    Ok(report) => self.report(&report),
                    Err(error) => self.report(&Report::NotStarted { error: format!("{error:#}") }),
                }
            }
            (Order::Pass { signal }, Some(job)) => job.pass(signal, &mut self.killer),
            (Order::Suspend, Some(job)) => job.suspend(),
            (Order::Resume, Some(job)) => job.resume(now),
            (Order::End { signal }, Some(job)) => job.end_with(now, signal, &mut self.killer),
            (Order::Kill, Some(job)) => job.kill(now, &mut self.killer),
            (Order::Ask, _) => self.report(&Report::Here),
            (Order::Heard, _) => self.heard_by = None,
            (Order::Settled, _) => {
                self.owed = None;
                self.heard_by = None;
            }
            // It crossed the report of the end.
            _ => {}
        }
    }

    fn start(&mut self, start: link::Start) -> Result<Report> {
        let streams = self.inbox.take_streams().context("the standard streams did not arrive")?;
        end_what_was_left();
        // The folder of the last tenure may be gone: temporary files are tidied away, and logins end.
        let kept = self.status.take().filter(|status| status.write(start.term, start.deadline.into()).is_ok());
        let status = match kept {
            Some(status) => self.status.insert(status),
            None => {
                let status = self.status.insert(StatusFile::new()?);
                status.write(start.term, start.deadline.into()).context("cannot write the status file")?;
                status
            }
        };
        let mut environment: Vec<(&str, OsString)> = vec![
            ("TENURE_KEY", start.key.clone().into()),
            ("TENURE_TERM", start.term.to_string().into()),
            ("TENURE_HOLDER", start.holder.clone().into()),
            ("TENURE_STATUS_FILE", status.path().into_os_string()),
        ];
        if let Some(charge) = &self.charge {
            if let Some(secret) = Handed::new(&charge.store).and_then(|handed| handed.secret()) {
                let file =
                    status.keep_secret(&secret).context("cannot write the store's login beside the status file")?;
                environment.push((handed::SECRET_FILE, file.into_os_string()));
            }
            environment.push((handed::STORE, handed::without_login(&charge.store).into()));
        }
        let folder = status.folder().to_string_lossy().into_owned();
        let job = Job::start(start, streams, &environment, &mut self.killer)?;
        let group = self.killer.group().map(|group| group.folder().to_owned());
        let report = Report::Started { pid: job.pid().as_raw_nonzero().get(), folder, group };
        self.job = Some(job);
        self.reaper.hired();
        Ok(report)
    }

    fn enforce(&mut self, now: Time) {
        if let Some(job) = &mut self.job
            && job.enforce(now, &mut self.killer)
        {
            self.report(&Report::Ending);
        }
        if self.heard_by.is_some_and(|at| at <= now) {
            self.heard_by = None;
            if let Some(estate) = self.owed.clone() {
                say!("tenure: `tenure run` is stopped, and its command has ended: the lease is given up for it");
                self.inherit(estate);
            }
        }
    }

    fn note(&mut self, change: Change) {
        let Some(job) = &mut self.job else { return };
        match change {
            Change::Stopped(pid, signal) if pid == job.pid() => {
                job.stopped();
                self.report(&Report::Stopped { signal });
            }
            Change::Continued(pid) if pid == job.pid() => job.continued(),
            Change::Ended(pid, status) => job.ended(tenure::now(), pid, status),
            Change::NoneLeft => self.conclude(),
            Change::Stopped(..) | Change::Continued(_) => {}
        }
    }

    /// Nothing of the work is left.
    fn conclude(&mut self) {
        let Some(job) = self.job.take() else { return };
        if let Some(status) = &self.status {
            status.remove();
        }
        if let Some(account) = job.account(&self.killer) {
            say!("tenure: {account}");
        }
        self.report(&Report::Ended { status: job.status() });
        let estate = self.charge.as_ref().map(|charge| job.estate(charge.ttl));
        if (self.alone || job.ended_unasked())
            && let Some(estate) = &estate
        {
            // `tenure run` is dead, or does not act: it learns later that the lease has gone.
            self.inherit(estate.clone());
        }
        // Until `tenure run` says that it has settled it: it may have done something about it meanwhile, and died then.
        self.owed = estate.filter(|_| !self.alone);
        self.heard_by = (!self.alone).then(|| tenure::now() + HEARD_WITHIN);
        if self.alone
            && let (Some(terminal), Some(charge)) = (&self.terminal, &self.charge)
            && let Some(group) = Pid::from_raw(charge.group)
            && terminal.is_of(job.pid())
        {
            terminal.give_to(group);
        }
    }

    fn report(&mut self, report: &Report) {
        // Only stops and continues could come again and again, while nobody listens.
        let droppable = matches!(report, Report::Stopped { .. });
        if self.alone || droppable && !self.unsent.is_empty() {
            return;
        }
        if let Ok(line) = link::encode(report) {
            self.unsent.extend(line);
        }
        self.speak();
    }

    fn speak(&mut self) {
        while !self.unsent.is_empty() && !self.alone {
            match link::send(&self.link, &self.unsent, &[]) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                // Full, or closed: reading says which.
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::BorrowedFd;

    fn watchdog() -> (Watchdog, UnixStream) {
        let (here, link) = UnixStream::pair().unwrap();
        (Watchdog::new(link, None).unwrap(), here)
    }

    fn start(deadline: Time) -> link::Start {
        link::Start {
            key: "k".into(),
            nonce: "0".repeat(32),
            term: 7,
            holder: "h".into(),
            note: String::new(),
            deadline: deadline.into(),
            renew: Duration::from_secs(1),
            spare: Duration::ZERO,
            stop_timeout: Duration::from_secs(1),
            kill_lead: Duration::from_millis(250),
            stop_signal: 15,
            keep_until: Time::ZERO.into(),
            command: vec!["true".into()],
            on_elected: None,
            foreground: false,
        }
    }

    /// A start that was read only after its tenure's time starts nothing; `tenure run` learns that the tenure was lost.
    #[test]
    fn nothing_is_started_after_its_time() {
        let (mut watchdog, here) = watchdog();
        let late = link::encode(&Order::Start(Box::new(start(tenure::now() + Duration::from_millis(100))))).unwrap();
        let streams: [BorrowedFd<'_>; 3] = [here.as_fd(), here.as_fd(), here.as_fd()];
        link::send(&here, &late, &streams).unwrap();
        watchdog.listen().unwrap();
        while let Some(order) = watchdog.orders.pop_front() {
            watchdog.obey(order);
        }
        assert!(watchdog.job.is_none() && watchdog.inbox.take_streams().is_none());
        let mut inbox = Inbox::default();
        inbox.receive(&here).unwrap();
        assert!(matches!(inbox.next().unwrap(), Some(Report::Ending)));
        assert!(matches!(inbox.next().unwrap(), Some(Report::NotStarted { .. })));
    }

    /// A renewal that arrives together with the start that it belongs to counts for it.
    #[test]
    fn a_renewal_moves_a_start_that_waits() {
        let (mut watchdog, here) = watchdog();
        let (first, second) = (Time::from_nanos(5), Time::from_nanos(7));
        for order in [Order::Start(Box::new(start(first))), Order::Extend { deadline: second.into() }] {
            link::send(&here, &link::encode(&order).unwrap(), &[]).unwrap();
        }
        watchdog.listen().unwrap();
        let start = watchdog.orders.iter_mut().find_map(Order::as_start).unwrap();
        assert_eq!(Time::from(start.deadline), second);
    }
}
