//! The signals that ask for an end: SIGTERM, SIGINT, and SIGHUP unless somebody (`nohup`) has it ignored.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// Listens from its making on.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Listener,
    interrupt: Listener,
    hangup: Option<Listener>,
}

impl Signals {
    /// Takes the signals over from their default, which would end the process at once.
    pub(crate) fn listen() -> io::Result<Signals> {
        let hangup = if is_ignored(Signal::HUP) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Waits for the next one. Signals that come close together can count as one.
    pub(crate) async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = hangup => Signal::HUP,
        }
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

/// Sees to it that children wait to be waited for. Where whoever started this process has SIGCHLD ignored, the kernel reaps
/// them by itself: nobody learns how they ended, and their numbers are given to others at once. Taken over here, it has its
/// default again in every program that is started from here.
pub(crate) fn keep_children() -> io::Result<()> {
    if is_ignored(Signal::CHILD) {
        // Once taken over it stays so, whoever listens.
        drop(signal(SignalKind::child())?);
    }
    Ok(())
}

/// Whether whoever started this process has the signal ignored.
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

    /// What `nohup` has ignored stays ignored.
    #[test]
    fn an_ignored_signal_is_told_from_others() {
        let status = "Name:\ttenure\nSigIgn:\t0000000000001001\nSigCgt:\tffffffffffffffff\n";
        assert!(ignores(status, SignalKind::hangup()));
        assert!(!ignores(status, SignalKind::terminate()) && !ignores("", SignalKind::hangup()));
    }
}
