//! This instance's name.

/// `{K_SERVICE}:{K_REVISION}:{suffix}` on Cloud Run, else the host's name and a random suffix.
pub(crate) fn instance() -> String {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let suffix = format!("{:016x}", random());
    match (env("K_SERVICE"), env("K_REVISION")) {
        (Some(service), Some(revision)) => format!("{service}:{revision}:{suffix}"),
        (Some(service), None) => format!("{service}:local:{suffix}"),
        _ => format!("{}:{suffix}", rustix::system::uname().nodename().to_string_lossy()),
    }
}

/// A random number, for names and nonces.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // The standard library seeds its hash maps from the operating system by another way.
        _ => std::collections::hash_map::RandomState::new().build_hasher().finish(),
    }
}
