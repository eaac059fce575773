//! Blocked signals: what the caller of `tenure run` has blocked is blocked in CMD again, whatever the processes in between
//! need. (What the caller ignores is inherited, and nobody changes it.)

use std::io;
use std::sync::OnceLock;

use nix::sys::signal::{SigSet, Signal};

/// What `tenure run` listens to, however it was started: a signal that stays blocked would reach nobody.
const HEARD: [Signal; 9] = [
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
/// What the watchdog does not listen to: `tenure run` is whom to ask. Blocked, not ignored, as CMD could not undo that.
const UNHEARD: [Signal; 10] = [
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

static CALLERS: OnceLock<Mask> = OnceLock::new();

/// Which signals are blocked, of those that are not left alone on the way to CMD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(SigSet);

impl Mask {
    /// What this thread has blocked now.
    fn current() -> io::Result<Mask> {
        let current = SigSet::thread_get_mask()?;
        Ok(Mask(changed().iter().filter(|signal| current.contains(*signal)).collect()))
    }

    /// What the caller has blocked, as far as that was told to this process.
    pub(super) fn of_caller() -> Mask {
        CALLERS.get().copied().unwrap_or(Mask(SigSet::empty()))
    }

    /// As it can stand among arguments.
    pub(super) fn word(self) -> String {
        let numbers: Vec<String> = self.0.iter().map(|signal| (signal as i32).to_string()).collect();
        format!("[{}]", numbers.join(","))
    }

    /// Reads [`Mask::word`].
    pub(super) fn parse(word: &str) -> Option<Mask> {
        let numbers = word.strip_prefix('[')?.strip_suffix(']')?;
        let numbers = numbers.split(',').filter(|number| !number.is_empty());
        let signals: Option<SigSet> =
            numbers.map(|number| Signal::try_from(number.parse::<i32>().ok()?).ok()).collect::<Option<_>>();
        signals.map(Mask)
    }

    /// Makes this the mask of this thread, and so of whatever it becomes.
    pub(super) fn restore(self) -> io::Result<()> {
        self.0.thread_block()?;
        // A signal that came meanwhile arrives here.
        let others: SigSet = changed().iter().filter(|signal| !self.0.contains(*signal)).collect();
        others.thread_unblock()?;
        Ok(())
    }
}

/// `tenure run` begins: keeps what its caller has blocked, and hears what it has to. Before there are other threads.
pub(super) fn hear() -> io::Result<()> {
    let _ = CALLERS.set(Mask::current()?);
    HEARD.into_iter().collect::<SigSet>().thread_unblock()?;
    Ok(())
}

/// The watchdog begins, for this caller of `tenure run`. Before there are other threads.
pub(super) fn hear_nothing(caller: Mask) -> io::Result<()> {
    let _ = CALLERS.set(caller);
    UNHEARD.into_iter().collect::<SigSet>().thread_block()?;
    Ok(())
}

fn changed() -> SigSet {
    HEARD.into_iter().chain(UNHEARD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask survives its way through arguments, and what is no mask is refused.
    #[test]
    fn masks_read_back() {
        let some: SigSet = [Signal::SIGTERM, Signal::SIGUSR2].into_iter().collect();
        for mask in [Mask(SigSet::empty()), Mask(some)] {
            assert_eq!(Mask::parse(&mask.word()), Some(mask));
        }
        assert_eq!((Mask::parse(""), Mask::parse("[x]"), Mask::parse("[0]")), (None, None, None));
    }
}
