//! The signals that `tenure run` receives in place of its command, to pass them on.

use std::io;

use rustix::process::{Signal, getpid, kill_process};

use crate::signals::{Signals, is_ignored};

/// What is listened for.
const SIGNALS: [Signal; 9] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

/// Listens from its making on.
#[derive(Debug)]
pub(super) struct ForwardedSignals(Signals);

impl ForwardedSignals {
    /// Takes the signals over from their default, but leaves alone what the caller (`nohup`) has ignored: the command inherits
    /// that.
    pub(super) fn listen() -> io::Result<ForwardedSignals> {
        Signals::of(SIGNALS.into_iter().filter(|signal| !is_ignored(*signal))).map(ForwardedSignals)
    }

    /// Waits for the next signal that asks for an end, while there is no command that anything else could be for. SIGTSTP stops
    /// this process alone then.
    pub(super) async fn next_end(&mut self) -> Signal {
        loop {
            match self.next().await {
                signal @ (Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT) => return signal,
                Signal::TSTP => drop(kill_process(getpid(), Signal::STOP)),
                _ => {}
            }
        }
    }

    /// Waits for the next one. Signals that come close together can count as one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        self.0.next().await
    }
}

/// The next signal that asks for an end, for a caller that listens only while it waits for something else.
pub(super) async fn end() -> Signal {
    match ForwardedSignals::listen() {
        Ok(mut signals) => signals.next_end().await,
        Err(_) => std::future::pending().await,
    }
}
