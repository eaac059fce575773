//! Blocked signals: what the caller has blocked is blocked in the command again, whatever the processes in between need. (What
//! the caller ignores is inherited, and nobody changes it.)

use std::io;
use std::sync::OnceLock;

use nix::sys::signal::{SigSet, Signal};

/// What the process that renews listens to, however it was started: a signal that stays blocked would reach nobody.
const UNBLOCKED: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];
/// What the command's parent does not listen to, as the process that renews is the one to signal. Blocked, not ignored: a command
/// could not undo that.
const BLOCKED: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

static OF_CALLER: OnceLock<SignalMask> = OnceLock::new();

/// Which signals are blocked, of those that are changed on the way to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalMask(SigSet);

impl SignalMask {
    /// Remembers what the caller has blocked, and unblocks what the process that renews listens to. To be called before there are
    /// other threads.
    pub fn unblock_for_renewal() -> io::Result<()> {
        let current = SigSet::thread_get_mask()?;
        let blocked = changed().iter().filter(|signal| current.contains(*signal)).collect();
        let _ = OF_CALLER.set(SignalMask(blocked));
        UNBLOCKED.into_iter().collect::<SigSet>().thread_unblock()?;
        Ok(())
    }

    /// Remembers what the caller has blocked, as it was told, and blocks what the command's parent does not listen to. To be called
    /// before there are other threads.
    pub fn block_for_supervision(caller: SignalMask) -> io::Result<()> {
        let _ = OF_CALLER.set(caller);
        BLOCKED.into_iter().collect::<SigSet>().thread_block()?;
        Ok(())
    }

    /// What the caller has blocked, as far as this process knows.
    pub fn of_caller() -> SignalMask {
        OF_CALLER.get().copied().unwrap_or(SignalMask(SigSet::empty()))
    }

    /// As an argument of another process.
    pub fn to_argument(self) -> String {
        let numbers: Vec<String> = self.0.iter().map(|signal| (signal as i32).to_string()).collect();
        format!("[{}]", numbers.join(","))
    }

    /// Reads [`SignalMask::to_argument`].
    pub fn from_argument(text: &str) -> Option<SignalMask> {
        let numbers = text.strip_prefix('[')?.strip_suffix(']')?;
        let numbers = numbers.split(',').filter(|number| !number.is_empty());
        let signals: Option<SigSet> =
            numbers.map(|number| Signal::try_from(number.parse::<i32>().ok()?).ok()).collect::<Option<_>>();
        signals.map(SignalMask)
    }

    /// Makes this the mask of this thread, and so of the program that it executes.
    pub(crate) fn restore(self) -> io::Result<()> {
        self.0.thread_block()?;
        // A signal that came meanwhile arrives here.
        let others: SigSet = changed().iter().filter(|signal| !self.0.contains(*signal)).collect();
        others.thread_unblock()?;
        Ok(())
    }
}

fn changed() -> SigSet {
    UNBLOCKED.into_iter().chain(BLOCKED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask survives its way through arguments, and what is no mask is refused.
    #[test]
    fn masks_read_back() {
        let some: SigSet = [Signal::SIGTERM, Signal::SIGUSR2].into_iter().collect();
        for mask in [SignalMask(SigSet::empty()), SignalMask(some)] {
            assert_eq!(SignalMask::from_argument(&mask.to_argument()), Some(mask));
        }
        let parse = SignalMask::from_argument;
        assert_eq!((parse(""), parse("[x]"), parse("[0]")), (None, None, None));
    }
}
