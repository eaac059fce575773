//! Who this process is: its random number and its default name.

use std::hash::{BuildHasher, Hasher, RandomState};

use tenure_core::{HolderId, NameError};

/// A random number from the operating system, for names and for [`crate::ElectionBuilder::process`].
pub fn random() -> u64 {
    // Where the system's own call fails, the standard library has seeded its hash maps by another way.
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}

/// Host name, process id and a random suffix.
pub(crate) fn default_holder() -> Result<HolderId, NameError> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    HolderId::new(format!("{host}:{}:{:08x}", std::process::id(), random() >> 32))
}
