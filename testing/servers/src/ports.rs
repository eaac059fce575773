//! Free ports of this machine.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Below it are ports of services that a machine may have.
const LOWEST: u16 = 10_240;
/// Where the kernel's own ports begin, where it does not say.
const EPHEMERAL: u16 = 32_768;

/// A port that nobody listened on a moment ago, and that this process was not given before.
///
/// It lies below those that the kernel gives to outgoing connections: of these any connection of the machine can take one between
/// this call and the start of the server.
pub fn free_port() -> u16 {
    free_port_and(0)
}

/// As [`free_port`], where the port that is `distance` above is free too: for servers that take a second one there.
///
/// # Panics
/// Where the machine has no such port left.
pub fn free_port_and(distance: u16) -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let top = ephemeral().saturating_sub(distance);
    // A machine whose own ports begin this low leaves no room below them.
    let room = if top > LOWEST + 1_000 { top - LOWEST } else { u16::MAX - distance - LOWEST };
    for attempt in 0..10_000_u32 {
        let random = RandomState::new().hash_one(attempt);
        let port = LOWEST + u16::try_from(random % u64::from(room)).unwrap_or_default();
        let is_free = [port, port + distance].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if is_free && given.get_or_insert_default().insert(port) {
            return port;
        }
    }
    panic!("no free port");
}

/// The first port that the kernel gives to outgoing connections.
fn ephemeral() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok()).unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each port is given once, is free, and is none that an outgoing connection can have got meanwhile.
    #[test]
    fn ports_are_free_and_given_once() {
        let ports: Vec<u16> = (0..200).map(|number| free_port_and(if number % 2 == 0 { 0 } else { 10_000 })).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        let has_room = ephemeral() > LOWEST + 11_000;
        assert!(ports.iter().all(|port| *port >= LOWEST && (!has_room || *port < ephemeral())), "{ports:?}");
    }
}
