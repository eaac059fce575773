//! The end of everything below this process: killed again and again until nobody is left to wait for.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid};

use super::descendants::Descendants;
use super::send::Sent;

/// The pauses between two kills of everything grow from the first to the second while nothing ends.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));
/// So many of them do not grow: mostly everything is over by then, and somebody waits for it.
const QUICK: u32 = 32;

/// Kills and reaps everything below this process; blocks until nothing is left. What cannot be killed (a process inside a
/// hung file system, or one with other rights) is waited for: it could still act. Whatever is told of each is heard by
/// `told`. Answers how `wanted` ended, where it was among them.
///
/// Needs no thread, no process and no memory, and where there is no descriptor to be had it is slower, and no less sure.
pub(crate) fn end_everything(
    descendants: &mut Descendants,
    wanted: Option<Pid>,
    mut told: impl FnMut(Pid, Sent),
) -> Option<ExitStatus> {
    let own = getpid();
    let mut in_vain = 0_u32;
    let mut status = None;
    loop {
        descendants.signal(own, Signal::KILL, &mut told);
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, how))) => {
                    in_vain = 0;
                    if Some(pid) == wanted {
                        status = Some(ExitStatus::from_raw(how.as_raw()));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return status,
            }
        }
        // A kill takes effect at once or within moments; whom the search missed is found by the next one.
        std::thread::sleep(pause(in_vain));
        in_vain = in_vain.saturating_add(1);
    }
}

fn pause(in_vain: u32) -> Duration {
    KILL_AGAIN.0.saturating_mul(2_u32.saturating_pow(in_vain.saturating_sub(QUICK))).min(KILL_AGAIN.1)
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

    /// Everything is dead when it answers, and who is asked for is told by its own end.
    #[test]
    #[expect(clippy::zombie_processes, reason = "it is reaped with everything else")]
    fn nothing_is_left_and_the_wanted_end_is_told() {
        let _turn = crate::process::TURN.blocking_lock();
        crate::process::adopt_orphans().unwrap();
        let mut descendants = Descendants::new().unwrap();
        let script = "setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & exit 7";
        let child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        // It has ended by itself, and is reaped here.
        while !std::fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::yield_now();
        }
        let mut killed = 0;
        let status = end_everything(&mut descendants, Some(pid), |_, sent| {
            killed += usize::from(matches!(sent, Sent::Delivered(_)));
        });
        assert_eq!(status.and_then(|status| status.code()), Some(7));
        assert!(killed >= 1 && rustix::process::wait(WaitOptions::NOHANG).is_err());
    }
}
