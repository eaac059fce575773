//! Which clock a deadline is of: boottime starts anew with each boot, and a time namespace shifts it.

use tenure_supervise::time_namespace;

/// The boot of the machine and the time namespace that a moment of CLOCK_BOOTTIME was read in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockId {
    /// The kernel's random id of this boot; `None` where it tells none.
    pub(super) boot_id: Option<String>,
    /// The number of the time namespace; `None` where the kernel has none.
    pub(super) time_namespace: Option<u64>,
}

impl ClockId {
    /// The clock of this process.
    pub(super) fn own() -> ClockId {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let boot_id = boot_id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        ClockId { boot_id, time_namespace: time_namespace() }
    }

    /// Whether moments of the two can be compared. Not where the boot is unknown: the file may be older than this boot.
    pub(super) fn is_comparable(&self, other: &ClockId) -> bool {
        self.boot_id.is_some() && self == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another boot, another namespace and an unknown boot are other clocks.
    #[test]
    fn clocks_of_other_boots_are_told_apart() {
        let one = ClockId { boot_id: Some("a".into()), time_namespace: Some(1) };
        assert!(one.is_comparable(&one.clone()));
        assert!(!one.is_comparable(&ClockId { boot_id: Some("b".into()), ..one.clone() }));
        assert!(!one.is_comparable(&ClockId { time_namespace: Some(2), ..one.clone() }));
        let unknown = ClockId { boot_id: None, ..one };
        assert!(!unknown.is_comparable(&unknown.clone()));
    }
}
