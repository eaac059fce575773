//! Tells the service manager that started this process, such as systemd, how it fares: sd_notify(3).
//!
//! Whoever reports never waits. What the service manager does not take at once is kept, the newest of each kind, and delivered when it
//! does: a service manager that hangs costs no lease. Nothing is reported where none asked for it.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use tenure_supervise::service_environment::{NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC, names};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

/// The variable that names the process that systemd itself started, since its version 248.
const EXEC_PID: &str = "SYSTEMD_EXEC_PID";
/// How often a service manager that waits for readiness is asked to wait longer.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
/// For how long it is asked to.
const EXTEND_BY: Duration = Duration::from_secs(30);
/// How long the end of this process waits for the last report to be taken.
const LAST_REPORT: Duration = Duration::from_secs(1);
/// The longest status, in bytes; the kernel's limit for a datagram is far away.
const LONGEST_STATUS: usize = 512;

/// Reports to the service manager, where there is one. Has to be made on a tokio runtime.
#[derive(Debug, Default)]
pub(crate) struct ServiceManager {
    told: Option<Arc<Told>>,
    delivery: Mutex<Option<JoinHandle<()>>>,
    /// This process is one of several of a service, whose end is not for this one to say.
    is_part: bool,
}

/// What there is to tell, and who waits for it.
#[derive(Debug, Default)]
struct Told {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether this process is getting ready.
    is_starting: bool,
    /// Whether it was said that it is ready; that cannot be taken back.
    is_ready: bool,
    /// Whether signs of life are this process's to give.
    keeps_alive: bool,
    is_stopping: bool,
    /// Nothing follows.
    is_last: bool,
    unsent: Unsent,
}

/// What was not delivered yet.
#[derive(Debug, Default)]
struct Unsent {
    ready: bool,
    stopping: bool,
    alive: bool,
    extend: Option<Duration>,
    status: Option<String>,
}

impl ServiceManager {
    /// The service manager of the environment, with a watchdog if that is meant for `process`.
    pub(crate) fn of_environment(process: Pid) -> ServiceManager {
        let Some(name) = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()) else {
            return ServiceManager::default();
        };
        match address(&name) {
            Ok(address) => {
                let is_part = std::env::var_os(EXEC_PID).is_some() && !names(EXEC_PID, process);
                ServiceManager { is_part, ..ServiceManager::of(address, watchdog_period(process)) }
            }
            Err(why) => {
                say!("tenure: {NOTIFY_SOCKET}={}: {why}; nothing is reported there", name.display());
                ServiceManager::default()
            }
        }
    }

    fn of(address: SocketAddr, watchdog: Option<Duration>) -> ServiceManager {
        let told = Arc::new(Told::default());
        let deliver = deliver(Arc::clone(&told), address, watchdog);
        ServiceManager { told: Some(told), delivery: Mutex::new(Some(tokio::spawn(deliver))), is_part: false }
    }

    /// Says in a line what this process does.
    pub(crate) fn status(&self, status: impl AsRef<str>) {
        self.tell(|state| state.unsent.status = Some(line(status.as_ref())));
    }

    /// Whether this process is getting ready: the service manager is asked again and again to wait, until it is ready.
    pub(crate) fn set_starting(&self, is_starting: bool) {
        self.tell(|state| {
            state.is_starting = is_starting && !state.is_stopping;
            state.extend_if_starting();
        });
    }

    /// Asks for so long from now, where nobody is ready yet.
    pub(crate) fn extend_start(&self, by: Duration) {
        self.tell(|state| {
            if !state.is_ready && !state.is_stopping {
                state.unsent.extend = Some(by);
            }
        });
    }

    /// Says that this process is ready. Once is enough.
    pub(crate) fn set_ready(&self) {
        self.tell(|state| {
            state.unsent.ready |= !std::mem::replace(&mut state.is_ready, true);
        });
    }

    /// Whether this process gives the signs of life that the service manager asked for; one is given at once. Otherwise
    /// another process does.
    pub(crate) fn set_alive(&self, keeps_alive: bool) {
        self.tell(|state| {
            state.keeps_alive = keeps_alive;
            state.unsent.alive = true;
        });
    }

    /// Says that the service is about to end, where this process is the service. Once is enough.
    pub(crate) fn set_stopping(&self) {
        self.tell(|state| {
            state.is_starting = false;
            state.unsent.stopping |= !std::mem::replace(&mut state.is_stopping, true) && !self.is_part;
        });
    }

    /// Delivers what is left to be told; waits for that, but not for long.
    pub(crate) async fn finish(&self) {
        self.tell(|state| state.is_last = true);
        let delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(delivery) = delivery else { return };
        let stop = delivery.abort_handle();
        let _ = tokio::time::timeout(LAST_REPORT, delivery).await;
        stop.abort();
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        if let Some(told) = &self.told {
            told.update(change);
        }
    }
}

impl Told {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_one();
    }
}

impl State {
    fn extend_if_starting(&mut self) {
        if self.is_starting && !self.is_ready {
            self.unsent.extend = Some(EXTEND_BY);
        }
    }

    /// The next datagram; `None` where there is nothing to tell.
    fn next_datagram(&mut self, has_watchdog: bool) -> Option<String> {
        let unsent = std::mem::take(&mut self.unsent);
        let mut text = String::new();
        if unsent.ready {
            text.push_str("READY=1\n");
        }
        if unsent.stopping {
            text.push_str("STOPPING=1\n");
        }
        if let Some(by) = unsent.extend {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "EXTEND_TIMEOUT_USEC={}", by.as_micros());
        }
        if unsent.alive && has_watchdog {
            text.push_str("WATCHDOG=1\n");
        }
        if let Some(status) = unsent.status {
            let _ = writeln!(text, "STATUS={status}");
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Delivers what there is to tell, until the last of it.
async fn deliver(told: Arc<Told>, address: SocketAddr, watchdog: Option<Duration>) {
    let mut extend = ticks(EXTEND_EVERY);
    // Half of the period, as sd_watchdog_enabled(3) asks for; a period that nobody gave is never over.
    let mut life = ticks(watchdog.map_or(Duration::from_secs(1 << 30), |period| period / 2));
    loop {
        tokio::select! {
            () = told.changed.notified() => {}
            _ = extend.tick() => told.state().extend_if_starting(),
            _ = life.tick() => {
                let mut state = told.state();
                state.unsent.alive |= state.keeps_alive;
            }
        }
        let (datagram, is_last) = {
            let mut state = told.state();
            (state.next_datagram(watchdog.is_some()), state.is_last)
        };
        if let Some(datagram) = datagram
            && let Err(error) = send(&address, &datagram).await
        {
            // It was there when it started this process, and nobody else wants the report.
            tracing::debug!(component = "service", %error, "cannot report to the service manager");
        }
        if is_last {
            return;
        }
    }
}

/// The first tick comes after a period; those that were missed are left out.
fn ticks(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

/// Sends one datagram from a socket of its own, as sd_notify(3) does; waits for room.
async fn send(address: &SocketAddr, datagram: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(address)?;
    socket.set_nonblocking(true)?;
    tokio::net::UnixDatagram::from_std(socket)?.send(datagram.as_bytes()).await.map(drop)
}

/// The address that `NOTIFY_SOCKET` gives: a path, or behind `@` a name in Linux's abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => Err(io::Error::other("this is neither an absolute path nor an abstract name (`@...`)")),
    }
}

/// How often signs of life are expected, where they are expected of `process`.
fn watchdog_period(process: Pid) -> Option<Duration> {
    let period = std::env::var(WATCHDOG_USEC).ok()?.parse().ok().filter(|period| *period > 0)?;
    let is_meant = std::env::var_os(WATCHDOG_PID).is_none() || names(WATCHDOG_PID, process);
    // A period below this would be over before anybody could give a sign.
    is_meant.then(|| Duration::from_micros(period).max(Duration::from_millis(2)))
}

/// The text as one line of bounded length.
fn line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LONGEST_STATUS));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(watchdog: Option<Duration>) -> (ServiceManager, tokio::net::UnixDatagram, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        (ServiceManager::of(address(path.as_os_str()).unwrap(), watchdog), socket, folder)
    }

    async fn next(socket: &tokio::net::UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// What is told at once goes in one datagram; readiness and the end are told once, and nobody is asked to wait after that.
    #[tokio::test]
    async fn each_kind_is_told_once() {
        let (manager, socket, _folder) = manager(None);
        manager.set_starting(true);
        manager.status("one");
        manager.status("two\nREADY=1");
        assert_eq!(next(&socket).await, "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=two READY=1\n");
        manager.set_ready();
        manager.set_ready();
        manager.set_starting(true);
        assert_eq!(next(&socket).await, "READY=1\n");
        manager.set_alive(true);
        manager.extend_start(Duration::from_secs(9));
        manager.set_stopping();
        manager.set_stopping();
        manager.finish().await;
        assert_eq!(next(&socket).await, "STOPPING=1\n");
        assert!(socket.try_recv(&mut [0; 9]).is_err());
    }

    /// A service manager that reads nothing, or is gone, holds nobody up: each call returns, and the end too.
    #[tokio::test]
    async fn nobody_waits_for_the_service_manager() {
        tokio::time::timeout(Duration::from_secs(20), without_a_reader()).await.expect("somebody has waited");
    }

    async fn without_a_reader() {
        let (manager, socket, _folder) = manager(Some(Duration::from_millis(2)));
        manager.set_alive(true);
        // So many datagrams that the kernel keeps no more of them.
        for number in 0..2000 {
            manager.status(number.to_string());
            tokio::task::yield_now().await;
        }
        manager.finish().await;
        drop(socket);
        let (manager, socket, _folder) = self::manager(None);
        drop(socket);
        manager.set_ready();
        manager.finish().await;
    }

    /// Addresses are read as systemd writes them.
    #[test]
    fn addresses_are_paths_and_abstract_names() {
        assert!(address(OsStr::new("/run/systemd/notify")).unwrap().as_pathname().is_some());
        assert!(cfg!(not(target_os = "linux")) || address(OsStr::new("@name")).is_ok());
        assert!(address(OsStr::new("vsock:2:1234")).is_err() && address(OsStr::new("relative")).is_err());
        assert_eq!(line("a\nb\0c"), "a b c");
        assert!(line(&"é".repeat(LONGEST_STATUS)).len() <= LONGEST_STATUS);
    }
}
