//! Free ports of this machine.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// A port that nobody listened on a moment ago, and that this process was not given before.
pub fn free_port() -> u16 {
    free_port_below(u16::MAX)
}

/// As [`free_port`], below `limit`: for servers that take a second port at a fixed distance.
///
/// # Panics
/// Where the machine has no such port left.
pub fn free_port_below(limit: u16) -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    for _ in 0..10_000 {
        let listener = TcpListener::bind(("127.0.0.1", 0));
        let Some(port) = listener.and_then(|listener| listener.local_addr()).ok().map(|address| address.port()) else {
            continue;
        };
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if port < limit && given.get_or_insert_default().insert(port) {
            return port;
        }
    }
    panic!("no free port below {limit}");
}
