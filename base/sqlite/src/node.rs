//! One file of the file system, whatever its names.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// One file, whatever its names: device and inode.
///
/// An inode is not given out again while the old file is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    device: u64,
    inode: u64,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

impl Node {
    /// Whether this is the file that the kernel's list of locks calls so: `MAJOR:MINOR:INODE`, the first two in hexadecimal.
    pub(crate) fn is_named(&self, text: &str) -> bool {
        let (major, minor) = (rustix::fs::major(self.device), rustix::fs::minor(self.device));
        text == format!("{major:02x}:{minor:02x}:{}", self.inode)
    }

    pub(crate) fn of(found: &Metadata) -> Node {
        Node { device: found.dev(), inode: found.ino() }
    }
}
