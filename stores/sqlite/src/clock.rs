//! The machine's clock: one that all processes of one boot agree on, and the name of that boot.

use std::time::{SystemTime, UNIX_EPOCH};

use tenure_core::Time;
use tenure_store::{StoreError, StoreErrorKind};

/// Reads the boottime clock as the machine itself sees it.
///
/// A time namespace shifts CLOCK_BOOTTIME for the processes in it; the shift is taken off again, so that containers
/// with different shifts agree when a lease is over. Records carry the boot's id: the clock starts anew with each boot,
/// so what another boot wrote has expired. Where there is no such clock (not Linux) the wall clock stands in, and
/// the store's info says so.
#[derive(Clone, Debug)]
pub(crate) struct MachineClock {
    offset_nanos: i128,
    boot_id: String,
}

/// The inode of the machine's own time namespace, a constant of the kernel (PROC_TIME_INIT_INO).
const FIRST_TIME_NAMESPACE: &str = "time:[4026531834]";

impl MachineClock {
    /// Finds out the shift and the boot's id. Both stay as they are while a process lives.
    pub(crate) fn read() -> Result<Self, StoreError> {
        if !cfg!(target_os = "linux") {
            return Ok(MachineClock { offset_nanos: 0, boot_id: "wall clock".to_owned() });
        }
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unsupported,
                "sqlite: leases need /proc/sys/kernel/random/boot_id, to tell this boot from the last; mount /proc",
            )
            .with_source(error)
        })?;
        Ok(MachineClock { offset_nanos: time_namespace_offset()?, boot_id: boot_id.trim().to_owned() })
    }

    /// Now.
    pub(crate) fn now(&self) -> Time {
        #[cfg(target_os = "linux")]
        let nanos = {
            let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            i128::from(at.tv_sec) * 1_000_000_000 + i128::from(at.tv_nsec)
        };
        #[cfg(not(target_os = "linux"))]
        let nanos = i128::from(wall_micros()) * 1_000;
        Time::from_nanos(u64::try_from(nanos - self.offset_nanos).unwrap_or(0))
    }

    /// Which boot the clock counts from.
    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

/// Microseconds since 1970 by the wall clock: seeds terms and dates records for housekeeping, decides nothing.
pub(crate) fn wall_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

fn time_namespace_offset() -> Result<i128, StoreError> {
    let namespace = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    let own = namespace("time");
    if own.is_none() || own.as_deref() == Some(FIRST_TIME_NAMESPACE.as_ref()) {
        // A kernel without time namespaces, or the machine's own.
        return Ok(0);
    }
    let unknown = |why| {
        StoreError::new(StoreErrorKind::Unsupported, format!("sqlite: this process runs in a time namespace and {why}"))
    };
    if own != namespace("time_for_children") {
        // The kernel only tells the shift that children will have.
        return Err(unknown("is about to change it: the shift of its clock cannot be known"));
    }
    let text = std::fs::read_to_string("/proc/self/timens_offsets")
        .map_err(|error| unknown("the shift of its clock cannot be read").with_source(error))?;
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
