//! Kills and reaps everything below this process, again and again until there is no child left to wait for.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid};

use crate::descendants::Descendants;
use crate::signal::Delivery;

/// The pause between two rounds of kills grows from the first to the second while nothing exits.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));
/// The first rounds, between which the pause does not grow: mostly everything is dead by then.
const QUICK: u32 = 32;

/// Kills and reaps everything below this process; blocks until nothing is left, which proves that everything is dead. A process
/// that cannot be killed (inside a hung file system, or one that runs as another user) is waited for, for it could still act.
/// Calls `delivery` with the outcome of each signal. Returns the exit status of `wanted`, where it was among the children.
///
/// The calling process must be a sub-reaper, and nobody else in it may wait for children meanwhile. Needs no thread, process or
/// memory; where no descriptor is left it is slower.
pub fn kill_and_reap_all(
    descendants: &mut Descendants,
    wanted: Option<Pid>,
    mut delivery: impl FnMut(Pid, Delivery),
) -> Option<ExitStatus> {
    let own = getpid();
    let mut rounds = 0_u32;
    let mut status = None;
    loop {
        descendants.signal(own, Signal::KILL, &mut delivery);
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, how))) => {
                    rounds = 0;
                    if Some(pid) == wanted {
                        status = Some(ExitStatus::from_raw(how.as_raw()));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return status,
            }
        }
        // A kill takes effect within moments; processes that this round missed are found by the next one.
        std::thread::sleep(pause(rounds));
        rounds = rounds.saturating_add(1);
    }
}

fn pause(rounds: u32) -> Duration {
    KILL_AGAIN.0.saturating_mul(2_u32.saturating_pow(rounds.saturating_sub(QUICK))).min(KILL_AGAIN.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dies at once is not waited for; what cannot be killed does not keep a processor busy.
    #[test]
    fn kills_are_quick_at_first_and_rare_in_the_end() {
        let soon: Duration = (0..QUICK).map(pause).sum();
        assert_eq!(soon, Duration::from_millis(32));
        assert_eq!([QUICK + 1, QUICK + 9, u32::MAX].map(pause), [2, 500, 500].map(Duration::from_millis));
    }

    /// Everything is dead when it returns, and the exit status of the wanted child is returned.
    #[test]
    #[expect(clippy::zombie_processes, reason = "it is reaped with everything else")]
    fn nothing_is_left_and_the_wanted_end_is_told() {
        let _turn = crate::children::TEST_TURN.blocking_lock();
        crate::children::become_subreaper().unwrap();
        let mut descendants = Descendants::new().unwrap();
        let script = "setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & exit 7";
        let child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        // It has ended by itself, and is reaped here.
        while !std::fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::yield_now();
        }
        let mut killed = 0;
        let status = kill_and_reap_all(&mut descendants, Some(pid), |_, sent| {
            killed += usize::from(matches!(sent, Delivery::Delivered(_)));
        });
        assert_eq!(status.and_then(|status| status.code()), Some(7));
        assert!(killed >= 1 && rustix::process::wait(WaitOptions::NOHANG).is_err());
    }
}
