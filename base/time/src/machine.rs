//! The machine's clock: one that all processes of one boot agree on, and the name of that boot.

use std::borrow::ToOwned;
use std::format;
use std::io;
use std::string::String;

use crate::time::Time;

/// Reads the boottime clock as the machine itself sees it.
///
/// A time namespace shifts CLOCK_BOOTTIME for the processes in it; the shift is taken off again, so that containers
/// with different shifts agree on a moment. Beside a moment belongs the boot's id: the clock starts anew with each boot.
/// Where there is no such clock (not Linux) the wall clock stands in, which somebody can set.
#[derive(Clone, Debug)]
pub struct MachineClock {
    offset_nanos: i128,
    boot_id: String,
}

/// The inode of the machine's own time namespace, a constant of the kernel (PROC_TIME_INIT_INO).
const FIRST_TIME_NAMESPACE: &str = "time:[4026531834]";

impl MachineClock {
    /// Finds out the shift and the boot's id. Both stay as they are while a process lives.
    ///
    /// Fails where /proc does not tell them, and in a process that has asked for another time namespace for its children: the
    /// kernel tells only the shift that those will have.
    pub fn read() -> io::Result<Self> {
        if !cfg!(target_os = "linux") {
            return Ok(MachineClock { offset_nanos: 0, boot_id: "wall clock".to_owned() });
        }
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|error| {
            let what = "/proc/sys/kernel/random/boot_id is needed, to tell this boot from the last; mount /proc";
            io::Error::new(error.kind(), format!("{what} ({error})"))
        })?;
        Ok(MachineClock { offset_nanos: time_namespace_offset()?, boot_id: boot_id.trim().to_owned() })
    }

    /// Now.
    pub fn now(&self) -> Time {
        #[cfg(target_os = "linux")]
        let nanos = i128::from(crate::clock::now().as_nanos());
        #[cfg(not(target_os = "linux"))]
        let nanos = i128::from(crate::wall::unix_micros()) * 1_000;
        Time::from_nanos(u64::try_from(nanos - self.offset_nanos).unwrap_or(0))
    }

    /// Which boot the clock counts from.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

fn time_namespace_offset() -> io::Result<i128> {
    let namespace = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    let own = namespace("time");
    if own.is_none() || own.as_deref() == Some(FIRST_TIME_NAMESPACE.as_ref()) {
        // A kernel without time namespaces, or the machine's own.
        return Ok(0);
    }
    let unknown = |why| io::Error::other(format!("this process runs in a time namespace and {why}"));
    if own != namespace("time_for_children") {
        // The kernel only tells the shift that children will have.
        return Err(unknown("is about to change it: the shift of its clock cannot be known"));
    }
    let text = std::fs::read_to_string("/proc/self/timens_offsets")
        .map_err(|_| unknown("the shift of its clock cannot be read"))?;
    boottime_offset(&text).ok_or_else(|| unknown("/proc/self/timens_offsets has no boottime line that can be read"))
}

/// The boottime line of `/proc/self/timens_offsets`: name, seconds, nanoseconds.
fn boottime_offset(text: &str) -> Option<i128> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        // Older kernels write the clock's number, 7, in place of its name.
        words.next().filter(|name| matches!(*name, "boottime" | "7"))?;
        let (seconds, nanos) = (words.next()?.parse::<i128>().ok()?, words.next()?.parse::<i128>().ok()?);
        Some(seconds * 1_000_000_000 + nanos)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own layout, with positive and negative shifts.
    #[test]
    fn the_boottime_shift_is_read() {
        assert_eq!(boottime_offset("monotonic           5         6\nboottime            0         0\n"), Some(0));
        assert_eq!(boottime_offset("monotonic 0 0\nboottime 100000 7\n"), Some(100_000_000_000_007));
        assert_eq!(boottime_offset("boottime -2 500000000\n"), Some(-1_500_000_000));
        assert_eq!(boottime_offset("monotonic 0 0\n"), None);
        assert_eq!(boottime_offset("boottime x 0\n"), None);
    }

    /// The clock goes forward, and its boot has a name.
    #[test]
    fn the_clock_runs() {
        let clock = MachineClock::read().unwrap();
        assert!(!clock.boot_id().is_empty());
        assert!(clock.now() > Time::ZERO);
        assert!(clock.now() <= clock.now());
    }
}
