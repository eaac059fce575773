//! The signals that ask the process to end: SIGTERM, SIGINT, and SIGHUP unless it is ignored, as under `nohup`.

use std::io;

use futures_util::future::select_all;
use rustix::process::Signal;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// Receives the signals that arrive after it was made.
#[derive(Debug)]
pub(crate) struct Signals {
    listeners: Vec<(Signal, Listener)>,
}

impl Signals {
    /// Listens for the signals that ask for an end.
    pub(crate) fn listen() -> io::Result<Signals> {
        let hangup = Some(Signal::HUP).filter(|hangup| !is_ignored(*hangup));
        Signals::of([Signal::TERM, Signal::INT].into_iter().chain(hangup))
    }

    /// Handles these signals in place of their default action, which would end or stop the process at once.
    pub(crate) fn of(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        let listen = |kind: Signal| Ok((kind, signal(SignalKind::from_raw(kind.as_raw()))?));
        Ok(Signals { listeners: signals.into_iter().map(listen).collect::<io::Result<_>>()? })
    }

    /// Waits for the next signal. Signals that come close together can count as one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        if self.listeners.is_empty() {
            return std::future::pending().await;
        }
        let each = self.listeners.iter_mut().map(|(kind, listener)| {
            Box::pin(async {
                listener.recv().await;
                *kind
            })
        });
        select_all(each).await.0
    }
}

/// The name of a signal that asks for an end.
pub(crate) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::HUP => "SIGHUP",
        _ => "SIGTERM",
    }
}

/// Keeps ended children as zombies until they are reaped. If the parent of this process ignores SIGCHLD, the kernel
/// reaps them by itself: their exit status is lost, and their pids are reused at once. A signal that is handled here
/// has its default action again in every program that this process starts.
pub(crate) fn keep_children() -> io::Result<()> {
    if is_ignored(Signal::CHILD) {
        // The handler stays when the listener is dropped.
        drop(signal(SignalKind::child())?);
    }
    Ok(())
}

/// Whether the signal was ignored when this process was started.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, SignalKind::from_raw(signal.as_raw()))
}

/// Whether the text of `/proc/self/status` says that the signal is ignored.
fn ignores(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal that `nohup` ignores counts as ignored.
    #[test]
    fn an_ignored_signal_is_told_from_others() {
        let status = "Name:\ttenure\nSigIgn:\t0000000000001001\nSigCgt:\tffffffffffffffff\n";
        assert!(ignores(status, SignalKind::hangup()));
        assert!(!ignores(status, SignalKind::terminate()) && !ignores("", SignalKind::hangup()));
    }
}
