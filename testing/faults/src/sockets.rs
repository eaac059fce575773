//! Connections as the system lists them, whoever says what of them.

use std::collections::BTreeSet;

/// How Linux writes that a connection is established.
const ESTABLISHED: &str = "01";

/// An established connection, from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    local: u16,
    remote: u16,
    inode: u64,
}

/// How many connections are accepted at these ports; `None` where the system does not tell, and where there are no ports.
pub(crate) fn at(ports: &[u16]) -> Option<usize> {
    let ends = ends().filter(|_| !ports.is_empty())?;
    Some(ends.iter().filter(|end| ports.contains(&end.local)).count())
}

/// How many connections to these ports a process has; none where the system does not tell.
pub(crate) fn of(process: u32, ports: &[u16]) -> usize {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let links = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok());
    let sockets: BTreeSet<u64> = links.filter_map(|link| socket(link.to_str()?)).collect();
    let is_there = |end: &&End| ports.contains(&end.remote) && sockets.contains(&end.inode);
    ends().unwrap_or_default().iter().filter(is_there).count()
}

/// The inode in `socket:[INODE]`.
fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn ends() -> Option<Vec<End>> {
    let old = std::fs::read_to_string("/proc/net/tcp").ok()?;
    // Absent where there is no IPv6.
    let new = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    Some(old.lines().chain(new.lines()).filter_map(end).collect())
}

/// One line of the table: `sl local_address rem_address st .. inode ..`, ports in hexadecimal behind a colon.
fn end(line: &str) -> Option<End> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let port = |at: usize| u16::from_str_radix(words.get(at)?.rsplit_once(':')?.1, 16).ok();
    let is_established = words.get(3) == Some(&ESTABLISHED);
    is_established.then_some(End { local: port(1)?, remote: port(2)?, inode: words.get(9)?.parse().ok()? })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection is there at the port that accepts it, and of the process that has made it, until it is closed.
    #[test]
    fn connections_are_counted_at_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = [listener.local_addr().unwrap().port()];
        let count = || (at(&ports), of(std::process::id(), &ports));
        assert_eq!(count(), (Some(0), 0), "one that listens is none");
        let client = TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(count(), (Some(1), 1));
        assert_eq!(of(1, &ports), 0, "another process has not made it");
        drop((client, server));
        assert_eq!(count(), (Some(0), 0));
        assert_eq!(at(&[]), None);
    }
}
