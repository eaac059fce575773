//! Who this process is: its random number and its default name.

use tenure_core::{HolderId, NameError};

/// A random number from the operating system.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return fallback(),
        }
    }
    u64::from_ne_bytes(bytes)
}

/// Host name, process id and a random suffix.
pub(crate) fn default_holder() -> Result<HolderId, NameError> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    HolderId::new(format!("{host}:{}:{:08x}", std::process::id(), random() >> 32))
}

/// The standard library seeds its hash maps from the operating system by another way.
fn fallback() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
