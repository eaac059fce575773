//! The descriptors that a process was started with, besides its streams.

use std::ops::Range;
use std::os::fd::RawFd;

/// Their numbers. Others that the process opens later are not among them, as long as none of these is closed without being forgotten.
#[derive(Debug, Default)]
pub struct InheritedDescriptors(Vec<RawFd>);

impl InheritedDescriptors {
    /// Those of this process. To be called before it opens anything. None where the system does not tell (only Linux does).
    pub fn of_this_process() -> InheritedDescriptors {
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|number| *number > 2);
        // The descriptor that has listed them is one of them, and is closed by now.
        let numbers: Vec<RawFd> = numbers.collect();
        InheritedDescriptors(numbers.into_iter().filter(|number| is_open(*number)).collect())
    }

    /// These were closed: their numbers may be anything's by now.
    pub fn forget(&mut self, closed: &Range<RawFd>) {
        self.0.retain(|number| !closed.contains(number));
    }

    /// Closes them.
    pub fn close(&mut self) {
        for number in self.0.drain(..) {
            let _ = nix::unistd::close(number);
        }
    }
}

fn is_open(number: RawFd) -> bool {
    std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok()
}
