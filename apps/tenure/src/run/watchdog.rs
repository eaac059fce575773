//! The watchdog: the command's parent, which enforces its deadline whether `tenure run` lives, is stopped or is dead.
//!
//! One thread, one loop, no network and no async runtime: it waits for messages, for children and for a boottime timer. It is a
//! sub-reaper, so everything that the command starts becomes its child at the latest when its own parent dies, and death is proven
//! when no child is left. Only after that, and only where `tenure run` cannot, the lease is released from here.

mod command;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use tenure_base_time::Timer;
use tenure_core::Time;
use tenure_supervise::message_socket::{MessageSocket, Received};
use tenure_supervise::status_file::{self, StatusFile};
use tenure_supervise::{
    ChildEvent, ControlGroup, InheritedDescriptors, OwedLease, ProcessTree, ReaperThread, Settler, SignalMask,
    StandbyThread, Terminal, become_subreaper,
};

use super::notices;
use super::protocol::{FromWatchdog, RunInfo, SERVICE, StartCommand, ToWatchdog};
use crate::command_store::{self, CommandStore};
use command::LeasedCommand;

/// The hidden command that leads here.
pub(crate) const NAME: &str = "run-watchdog";
/// How soon `tenure run` acknowledges the end of its command. A `tenure run` that does not is stopped by a signal, and its lease is
/// settled from here.
const END_RECEIVED_WITHIN: Duration = Duration::from_secs(2);

/// Runs until `tenure run` says that nothing is left to do, or has died and everything of its command too.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    // Before anything is opened: what is open now came from whoever started `tenure run`, for its command.
    let inherited = InheritedDescriptors::of_this_process();
    let usage = "the watchdog is a part of `tenure run` and not to be called";
    let caller = arguments.next().and_then(|mask| SignalMask::from_argument(mask.to_str()?)).context(usage)?;
    SignalMask::block_for_supervision(caller).context("cannot block signals")?;
    become_subreaper().context("cannot become a sub-reaper")?;
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"tenure-watchdog");
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).context(usage)?;
    let mut watchdog = Watchdog::new(UnixStream::from(socket), Terminal::open(), inherited)?;
    StatusFile::remove_abandoned();
    kill_abandoned();
    watchdog.run()?;
    Ok(ExitCode::SUCCESS)
}

/// Kills commands whose `tenure run` and watchdog were killed together, so that nobody else enforces their deadline.
fn kill_abandoned() {
    match ControlGroup::kill_abandoned() {
        0 => {}
        1 => say!("tenure: ended what an earlier run had left, whose processes were all killed but the command's"),
        more => {
            say!("tenure: ended what {more} earlier runs had left, whose processes were all killed but the commands'")
        }
    }
}

/// Lets go of standard error.
fn close_errors() {
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

struct Watchdog {
    socket: MessageSocket<UnixStream>,
    /// Messages that were received and not handled yet.
    messages: VecDeque<ToWatchdog>,
    reaper: ReaperThread,
    tree: ProcessTree,
    timer: Timer,
    terminal: Option<Terminal>,
    status_file: Option<StatusFile>,
    info: Option<RunInfo>,
    command: Option<LeasedCommand>,
    /// The lease of a tenure whose work has ended, which `tenure run` has not settled yet.
    owed_lease: Option<OwedLease>,
    /// By then `tenure run` has acknowledged the end, or is stopped by a signal.
    end_received_by: Option<Time>,
    settler: Option<StandbyThread<Settler>>,
    /// `tenure run` has died.
    is_orphan: bool,
    /// What a command would get besides its streams.
    inherited: InheritedDescriptors,
    /// It gave up before, and left claims to be found: for so long.
    patience: Option<Duration>,
}

impl Watchdog {
    /// A watchdog without a command.
    fn new(socket: UnixStream, terminal: Option<Terminal>, inherited: InheritedDescriptors) -> Result<Watchdog> {
        let settler = StandbyThread::start("settler", Settler::default());
        Ok(Watchdog {
            socket: MessageSocket::new(socket),
            messages: VecDeque::new(),
            reaper: ReaperThread::start().context("cannot start a thread")?,
            tree: ProcessTree::new(notices::say).context("cannot look at processes: is /proc mounted?")?,
            timer: Timer::new().context("cannot make a timer")?,
            terminal,
            status_file: None,
            info: None,
            command: None,
            owed_lease: None,
            end_received_by: None,
            settler: Some(settler.context("cannot start a thread")?),
            is_orphan: false,
            inherited,
            patience: None,
        })
    }

    fn run(&mut self) -> Result<()> {
        loop {
            // What was received may move the deadline. Then the deadline comes before everything else, so that nothing is
            // continued, started or passed on after it.
            self.receive();
            self.enforce(tenure::now());
            while let Some(message) = self.messages.pop_front() {
                if matches!(message, ToWatchdog::Quit) && self.command.is_none() {
                    return Ok(());
                }
                self.handle(message);
            }
            while let Some(event) = self.reaper.next_event() {
                self.observe(event);
            }
            if self.is_orphan && self.command.is_none() {
                // Nobody reads it any more, and the store may take its time.
                self.status_file = None;
                if let Some(settler) = self.settler.take() {
                    settler.finish();
                }
                return Ok(());
            }
            // Where the socket is full it is polled for room, and where it is closed receiving says so.
            let _ = self.socket.flush();
            let due = self.command.as_ref().map(|command| command.process.due());
            let due = due.into_iter().chain(self.end_received_by).min();
            self.timer.set(due.unwrap_or(Time::MAX)).context("cannot set the timer")?;
            self.wait()?;
        }
    }

    fn wait(&self) -> Result<()> {
        let (timer, children, socket) =
            (self.timer.descriptor(), self.reaper.descriptor(), self.socket.socket().as_fd());
        let mut fds = vec![PollFd::new(&children, PollFlags::IN)];
        if let Some(timer) = &timer {
            fds.push(PollFd::new(timer, PollFlags::IN));
        }
        if !self.is_orphan {
            let writable = if self.socket.unsent() > 0 { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(&socket, PollFlags::IN | writable));
        }
        let timeout = self.timer.poll_timeout().and_then(|span| Timespec::try_from(span).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        self.timer.take_fired();
        Ok(())
    }

    /// Receives what has arrived. A renewal counts at once.
    fn receive(&mut self) {
        while !self.is_orphan {
            // A peer that sends what is no message is treated as dead.
            match self.socket.receive().unwrap_or(Received::Closed) {
                Received::Bytes => self.take_messages(),
                Received::Nothing => break,
                Received::Closed => {
                    self.take_messages();
                    self.is_orphan = true;
                    // `tenure run` exits after its last message: an end that is no death.
                    if self.command.is_some() || !self.messages.iter().any(|last| matches!(last, ToWatchdog::Quit)) {
                        self.on_parent_death();
                    }
                }
            }
        }
    }

    fn take_messages(&mut self) {
        loop {
            match self.socket.next_message() {
                Ok(Some(ToWatchdog::Extend { deadline })) => self.extend(deadline),
                Ok(Some(message)) => self.messages.push_back(message),
                Ok(None) => return,
                Err(error) => {
                    say!("tenure: the watchdog did not understand what it was told: {error}");
                    return;
                }
            }
        }
    }

    fn extend(&mut self, deadline: Time) {
        if let Some(command) = &mut self.command {
            command.process.extend(tenure::now(), deadline, &mut self.tree);
            let Some(file) = &mut self.status_file else { return };
            if let Err(error) = file.renew(command.term(), command.process.deadline()) {
                say!(
                    "tenure: cannot replace the status file {}: {error}; the lease is renewed and the command goes on, but `tenure \
                     check` says that its time is over",
                    file.path().display()
                );
            }
            return;
        }
        // The message that starts the command was received together with this one.
        for message in self.messages.iter_mut().rev() {
            if let ToWatchdog::Start(start) = message {
                start.deadline = start.deadline.max(deadline);
                return;
            }
        }
    }

    /// `tenure run` has died: its command ends, and what it held is released from here.
    fn on_parent_death(&mut self) {
        // Nothing is begun any more; only what says which lease is to be settled still counts.
        for message in std::mem::take(&mut self.messages) {
            match message {
                ToWatchdog::Configure(info) => self.info = Some(info),
                ToWatchdog::Settled => self.owed_lease = None,
                ToWatchdog::FindClaims { patience } => self.patience = Some(patience),
                _ => {}
            }
        }
        if self.patience.is_some() {
            // This takes a while, and whoever reads what `tenure run` printed should not wait for it.
            close_errors();
        }
        self.end_received_by = None;
        if self.command.is_none() {
            // No command can start any more, and whoever waits for a lock or a pipe that was inherited should not wait for a store.
            self.inherited.close();
        }
        if let Some(command) = &mut self.command {
            command.process.stop_as_planned(tenure::now(), &mut self.tree);
        }
        let (Some(info), Some(settler)) = (&self.info, &self.settler) else { return };
        let open = info.open_store();
        drop(settler.run(move |settler| settler.prepare(&open)));
        if self.command.is_none() {
            let claims = info.claims(self.patience.unwrap_or(info.ttl));
            let owed = self.owed_lease.take();
            // Claims are looked for where there may be any: after a campaign that was given up, whatever is owed besides.
            let are_looked_for = owed.is_none() || self.patience.is_some();
            for lease in owed.into_iter().chain(are_looked_for.then_some(claims)) {
                self.settle(lease);
            }
        }
    }

    /// Settles a lease in place of `tenure run`.
    fn settle(&self, owed: OwedLease) {
        if let (Some(info), Some(settler)) = (&self.info, &self.settler) {
            let open = info.open_store();
            drop(settler.run(move |settler| settler.settle(&open, &owed)));
        }
    }

    fn handle(&mut self, message: ToWatchdog) {
        let now = tenure::now();
        match (message, &mut self.command) {
            (ToWatchdog::Configure(info), _) => {
                crate::output::set_json(info.json.then_some(SERVICE));
                self.info = Some(info);
            }
            (ToWatchdog::Start(start), None) => self.start(now, &start),
            (ToWatchdog::Signal { signal }, Some(command)) => command.process.signal(signal, &mut self.tree),
            (ToWatchdog::Suspend, Some(command)) => command.process.suspend(),
            (ToWatchdog::Resume, Some(command)) => command.process.resume(now),
            (ToWatchdog::Stop { signal }, Some(command)) => command.process.stop(now, signal, &mut self.tree),
            (ToWatchdog::Kill, Some(command)) => command.process.kill(now, &mut self.tree),
            (ToWatchdog::Ping, _) => self.send(&FromWatchdog::Pong),
            (ToWatchdog::FindClaims { patience }, None) => self.patience = Some(patience),
            (ToWatchdog::EndReceived, _) => self.end_received_by = None,
            (ToWatchdog::Settled, _) => {
                self.owed_lease = None;
                self.end_received_by = None;
            }
            // A message for a command that has ended meanwhile.
            _ => {}
        }
    }

    fn start(&mut self, now: Time, start: &StartCommand) {
        let started = if now < start.deadline - start.plan.kill_lead {
            self.start_command(start)
        } else {
            // This process stood still meanwhile, perhaps with the whole machine.
            drop(self.socket.take_streams());
            self.send(&FromWatchdog::Stopping);
            Err(anyhow::anyhow!("the tenure was over before the command could be started"))
        };
        let answer = started.unwrap_or_else(|error| FromWatchdog::NotStarted { error: crate::exit::told(&error) });
        self.send(&answer);
    }

    fn start_command(&mut self, start: &StartCommand) -> Result<FromWatchdog> {
        let streams = self.socket.take_streams().context("the standard streams did not arrive")?;
        kill_abandoned();
        // The folder of the last tenure may have been removed: temporary files are cleaned up, and logins end.
        let kept = self.status_file.take().filter(|file| file.write(start.term, start.deadline).is_ok());
        let file = match kept {
            Some(file) => self.status_file.insert(file),
            None => {
                let file = self.status_file.insert(StatusFile::create()?);
                file.write(start.term, start.deadline).context("cannot write the status file")?;
                file
            }
        };
        let mut environment: Vec<(&str, OsString)> = vec![
            ("TENURE_KEY", start.key.clone().into()),
            ("TENURE_TERM", start.term.to_string().into()),
            ("TENURE_HOLDER", start.holder.clone().into()),
            (status_file::VARIABLE, file.path().into_os_string()),
        ];
        if let Some(info) = &self.info {
            if let Some(secret) = CommandStore::new(&info.store).and_then(|store| store.secret()) {
                let file =
                    file.keep_secret(&secret).context("cannot write the store's login beside the status file")?;
                environment.push((command_store::SECRET_FILE, file.into_os_string()));
            }
            environment.push((command_store::STORE, command_store::without_login(&info.store).into()));
        }
        let status_folder = file.folder().to_owned();
        let command = LeasedCommand::start(start, streams, &environment, &mut self.tree)?;
        self.inherited.forget(&start.close);
        let pid = command.process.pid().as_raw_nonzero().get();
        self.command = Some(command);
        self.reaper.expect_children();
        let control_group = self.tree.control_group().map(std::path::Path::to_owned);
        Ok(FromWatchdog::Started { pid, status_folder, control_group })
    }

    fn enforce(&mut self, now: Time) {
        if let Some(command) = &mut self.command
            && command.process.enforce(now, &mut self.tree)
        {
            self.send(&FromWatchdog::Stopping);
        }
        if self.end_received_by.take_if(|at| *at <= now).is_some()
            && let Some(owed) = self.owed_lease.clone()
        {
            say!("tenure: `tenure run` is stopped, and its command has ended: the lease is given up for it");
            self.settle(owed);
        }
    }

    fn observe(&mut self, event: ChildEvent) {
        let Some(command) = &mut self.command else { return };
        command.process.observe(tenure::now(), event);
        match event {
            ChildEvent::Stopped(pid, signal) if pid == command.process.pid() => {
                self.send(&FromWatchdog::Suspended { signal });
            }
            ChildEvent::NoneLeft => self.conclude(),
            _ => {}
        }
    }

    /// Nothing of the work is left.
    fn conclude(&mut self) {
        let Some(command) = self.command.take() else { return };
        if let Some(file) = &self.status_file {
            file.clear();
        }
        if let Some(summary) = self.tree.summary(command.process.exited_by_itself()) {
            say!("tenure: {summary}");
        }
        self.send(&FromWatchdog::Ended { status: command.process.raw_status() });
        let owed = self.info.as_ref().map(|info| command.owed_lease(info.ttl));
        if (self.is_orphan || command.process.acted_unasked())
            && let Some(owed) = &owed
        {
            // `tenure run` is dead, or does not act: it learns later that the lease is gone.
            self.settle(owed.clone());
        }
        // Until `tenure run` says that it has settled the lease: it may do something about it now, and die then.
        self.owed_lease = owed.filter(|_| !self.is_orphan);
        self.end_received_by = (!self.is_orphan).then(|| tenure::now() + END_RECEIVED_WITHIN);
        if self.is_orphan
            && let (Some(terminal), Some(info)) = (&self.terminal, &self.info)
            && let Some(group) = Pid::from_raw(info.group)
            && terminal.is_of(command.process.pid())
        {
            terminal.give_to(group);
        }
    }

    fn send(&mut self, message: &FromWatchdog) {
        // A command can be stopped and continued again and again while nobody reads that.
        let is_dispensable = matches!(message, FromWatchdog::Suspended { .. });
        if self.is_orphan || is_dispensable && self.socket.unsent() > 0 {
            return;
        }
        self.socket.send(message, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::start_command;
    use super::*;

    fn watchdog() -> (Watchdog, MessageSocket<UnixStream>) {
        let (here, socket) = UnixStream::pair().unwrap();
        (Watchdog::new(socket, None, InheritedDescriptors::default()).unwrap(), MessageSocket::new(here))
    }

    /// A start that is read only after its tenure's time starts nothing; `tenure run` learns that the tenure was lost.
    #[test]
    fn nothing_is_started_after_its_time() {
        let (mut watchdog, mut here) = watchdog();
        let late = start_command(tenure::now() + Duration::from_millis(100));
        here.send(&ToWatchdog::Start(Box::new(late)), &[rustix::stdio::stderr(); 3]);
        watchdog.receive();
        while let Some(message) = watchdog.messages.pop_front() {
            watchdog.handle(message);
        }
        assert!(watchdog.command.is_none() && watchdog.socket.take_streams().is_none());
        here.receive().unwrap();
        assert!(matches!(here.next_message().unwrap(), Some(FromWatchdog::Stopping)));
        assert!(matches!(here.next_message().unwrap(), Some(FromWatchdog::NotStarted { .. })));
    }

    /// A renewal that is received together with the start that it belongs to counts for it.
    #[test]
    fn a_renewal_moves_a_start_that_waits() {
        let (mut watchdog, mut here) = watchdog();
        let (first, second) = (Time::from_nanos(5), Time::from_nanos(7));
        let start = ToWatchdog::Start(Box::new(start_command(first)));
        for message in [start, ToWatchdog::Extend { deadline: second }] {
            here.send(&message, &[]);
        }
        watchdog.receive();
        let Some(ToWatchdog::Start(start)) = watchdog.messages.front() else { panic!("no start") };
        assert_eq!(start.deadline, second);
    }
}
