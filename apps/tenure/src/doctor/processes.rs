//! Checks what `tenure run` needs of the system to end a command: sub-reapers, pidfds, control groups, and room for
//! more processes.

use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use tenure_supervise::ControlGroup;

use super::finding::Finding;

/// Tries each of them; what a check creates is removed at once.
pub(super) fn check() -> Vec<Finding> {
    vec![reaper(), handles(), group(), limit()]
}

/// Checks for sub-reapers: `tenure run` proves deaths as the sub-reaper of everything that its command started.
fn reaper() -> Finding {
    #[cfg(target_os = "linux")]
    {
        // The process asks without becoming a sub-reaper; an answer means that the kernel supports it.
        match rustix::process::child_subreaper() {
            Ok(_) if std::path::Path::new("/proc/self/stat").exists() => {
                Finding::ok("reaper", "child sub-reapers and /proc are there, so deaths can be proven")
            }
            Ok(_) => Finding::fail(
                "reaper",
                "/proc is not mounted, so descendants cannot be found",
                "mount /proc in this container (mount -t proc proc /proc)",
            ),
            Err(error) => Finding::fail(
                "reaper",
                format!("the kernel refuses to tell of child sub-reapers: {error}"),
                "allow prctl(2) in the sandbox; without it a killed command costs the ttl, not milliseconds",
            ),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        Finding::warn(
            "reaper",
            "there are no child sub-reapers here: a descendant that leaves its process group is not found",
            "check terms at whatever the work writes to, or run on Linux",
        )
    }
}

/// Checks for pidfds: a signal through one reaches that very process or nobody.
fn handles() -> Finding {
    let tried = pidfd_open(getpid(), PidfdFlags::empty())
        // SIGCONT changes nothing for a process that runs.
        .and_then(|handle| pidfd_send_signal(handle, Signal::CONT));
    match tried {
        Ok(()) => Finding::ok("signals", "processes can be signalled by handle, so no stranger is hit"),
        Err(error) => Finding::warn(
            "signals",
            format!(
                "no handles of processes ({error}): signals go by number, right after a look at whose it is, and a death \
                 that the watchdog hides is seen up to 0.5 s late"
            ),
            "run on Linux 5.3 or later, and allow pidfd_open(2) and pidfd_send_signal(2) in the sandbox",
        ),
    }
}

/// Checks for control groups: one write to a group's file ends everything in it.
fn group() -> Finding {
    match ControlGroup::create() {
        Ok(_) => Finding::ok("control group", "each command runs in one of its own, which ends with one write"),
        // Most users may not create a group, and few commands start thousands of processes, so this is no problem.
        Err(why) => Finding::ok(
            "control group",
            format!(
                "none for commands ({why}): what they started is killed one by one, which takes longer the more there is; \
                 as root, or in a unit with Delegate=yes, there is one"
            ),
        ),
    }
}

fn limit() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nproc).current;
    // The limit counts all processes of the user: where it is small, forks fail when other programs run too.
    match limit {
        Some(limit) if limit < 64 => Finding::warn(
            "processes",
            format!("this user can have at most {limit} processes"),
            "raise the limit: ulimit -u 1024, or TasksMax= in the unit",
        ),
        Some(limit) => Finding::ok("processes", format!("this user can have up to {limit} processes")),
        None => Finding::ok("processes", "this user can have any number of processes"),
    }
}
