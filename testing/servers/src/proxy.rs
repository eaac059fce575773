//! TCP proxies to servers that a test can cut without being root, on ports of 127.0.0.1.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What happens to the connections of a proxy that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing passes, and nobody is told: connections stay open, and data that was on its way arrives once the cut
    /// ends. As on a network that drops packets for a while.
    Silent,
    /// As [`Cut::Silent`], but whatever was connected by the end of the cut never carries anything again, and nobody is
    /// told either: new connections alone pass. As behind a firewall that has forgotten its connections.
    Lost,
    /// As [`Cut::Silent`], and attempts to connect are not answered either. As where packets to this one port are dropped.
    Vanished,
    /// Connections are closed, and new ones too. As on a network that refuses connections.
    Closed,
    /// Requests pass; of the first reply on each connection half passes, then it is closed.
    InsideReply,
    /// Requests pass; replies arrive so much later, also those that began before the cut ended.
    Late(Duration),
}

/// Servers that are cut off from others until this is dropped.
#[derive(Debug)]
#[must_use = "the way is mended when this is dropped"]
pub struct CutOff(Vec<Arc<Shared>>);

/// A proxy to a port: a client that connects to the proxy's own port talks with that one. Dropping it closes its
/// connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    listener: TcpListener,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cut: Option<Cut>,
    /// The connections of this process alone are cut so.
    cut_from: Option<(u32, Cut)>,
    /// Whether it is found out whose each connection is.
    knows_owners: bool,
    /// The process that made a connection, by the connection's number.
    owners: BTreeMap<u64, u32>,
    ended: bool,
    /// Both ends of each connection, by number.
    connections: BTreeMap<u64, [TcpStream; 2]>,
    next: u64,
    /// Connections below this number never carry anything again.
    lost_below: u64,
    /// Nobody is accepted any more, because the port has vanished.
    holds: bool,
    /// What takes up the places of those that want to connect, while the port has vanished.
    fillers: Vec<TcpStream>,
    /// Their addresses, which are never carried anywhere.
    filled_from: HashSet<SocketAddr>,
    /// Ports that replies name, and the ports that clients are to read in their place.
    renamed: Vec<(u16, u16)>,
}

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long an attempt to connect may take before the places of those that want to connect are taken to be full.
const FULL_AFTER: Duration = Duration::from_millis(40);
/// How often it is tried to fill them.
const FILL_TRIES: u32 = 50;

impl Proxy {
    /// A proxy to `target`, where nobody needs to listen yet.
    pub fn to(target: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { target, listener, state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept());
        Ok(Proxy { port, shared })
    }

    /// A proxy that can be cut for one process alone ([`Proxy::cut_from`]): between servers that tell each other one port
    /// each. On Linux; elsewhere it knows nobody.
    pub fn between(target: u16) -> io::Result<Proxy> {
        let proxy = Proxy::to(target)?;
        proxy.shared.state().knows_owners = true;
        Ok(proxy)
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it, until the value is dropped.
    pub fn cut(&self, how: Cut) -> CutOff {
        CutOff::cut(std::iter::once(self), how)
    }

    /// Cuts it for what this process has connected, until the value is dropped. Of a proxy [`Proxy::between`] servers.
    pub fn cut_from(&self, process: u32, how: Cut) -> CutOff {
        self.shared.state().cut_from = Some((process, how));
        CutOff(vec![Arc::clone(&self.shared)])
    }

    /// How many connections it carries; those are left out that a cut has lost.
    pub fn connections(&self) -> usize {
        let state = self.shared.state();
        state.connections.keys().filter(|number| !state.is_lost(**number)).count()
    }

    /// From now on each port of `renamed` that a reply names, as a number of five digits that stands alone behind a colon or
    /// at the beginning of a line, reads as the second one: for servers that tell their clients where other servers are.
    pub fn rename(&self, renamed: &[(u16, u16)]) {
        let five_digits = |(from, to): &&(u16, u16)| *from >= 10_000 && *to >= 10_000;
        self.shared.state().renamed = renamed.iter().filter(five_digits).copied().collect();
    }
}

impl CutOff {
    /// Cuts all these proxies.
    pub fn cut<'a>(proxies: impl Iterator<Item = &'a Proxy>, how: Cut) -> CutOff {
        let proxies: Vec<_> = proxies.map(|proxy| Arc::clone(&proxy.shared)).collect();
        for proxy in &proxies {
            proxy.set(Some(how));
        }
        CutOff(proxies)
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        for proxy in &self.0 {
            proxy.state().cut_from = None;
            proxy.set(None);
        }
    }
}

impl CutOff {
    /// This and those together.
    pub fn and(mut self, others: impl IntoIterator<Item = CutOff>) -> CutOff {
        for mut other in others {
            self.0.append(&mut other.0);
        }
        self
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.fillers.clear();
        state.close();
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Cut {
    fn is_silent(self) -> bool {
        matches!(self, Cut::Silent | Cut::Lost | Cut::Vanished)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, cut: Option<Cut>) {
        let mut state = self.state();
        if state.cut == Some(Cut::Lost) {
            state.lost_below = state.next;
        }
        let had_vanished = state.cut == Some(Cut::Vanished);
        state.cut = cut;
        if cut == Some(Cut::Closed) {
            state.close();
        }
        if had_vanished {
            state.fillers.clear();
        }
        drop(state);
        if had_vanished {
            let _ = rustix::net::listen(&self.listener, BACKLOG);
        }
        self.changed.notify_all();
        if cut == Some(Cut::Vanished) {
            self.fill();
        }
    }

    /// Takes every place of those that want to connect: the system then drops what further ones send.
    fn fill(&self) {
        let _ = rustix::net::listen(&self.listener, 1);
        let Ok(to) = self.listener.local_addr() else { return };
        for _ in 0..FILL_TRIES {
            let held = self.state().holds;
            let filler = TcpStream::connect_timeout(&to, FULL_AFTER);
            let mut state = self.state();
            match filler {
                Ok(filler) => {
                    state.filled_from.extend(filler.local_addr());
                    state.fillers.push(filler);
                }
                Err(_) if held => return,
                // The thread that accepts takes one more before it holds, which frees a place.
                Err(_) => {}
            }
        }
    }

    /// Waits until data of a connection may pass; returns false where it never will.
    fn passes(&self, number: u64) -> bool {
        let held = |state: &mut State| {
            let silent = state.cut_of(number).is_some_and(Cut::is_silent);
            !state.ended && (silent || (state.is_lost(number) && !state.is_closed(number)))
        };
        let state = self.changed.wait_while(self.state(), held).unwrap_or_else(PoisonError::into_inner);
        !state.is_closed(number) && !state.ended && !state.is_lost(number)
    }

    fn accept(self: &Arc<Shared>) {
        loop {
            let vanished = |state: &mut State| {
                state.holds = state.cut == Some(Cut::Vanished) && !state.ended;
                state.holds
            };
            drop(self.changed.wait_while(self.state(), vanished));
            let Ok((near, from)) = self.listener.accept() else { return };
            {
                let mut state = self.state();
                if state.ended {
                    return;
                }
                if state.filled_from.contains(&from) {
                    // Accepted in the moment in which the port vanished: it keeps its place elsewhere.
                    state.fillers.push(near);
                    continue;
                }
            }
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(near, from));
        }
    }

    /// Carries bytes in both directions until one side has gone.
    fn carry(self: Arc<Shared>, near: TcpStream, from: SocketAddr) -> Option<()> {
        let owner = if self.state().knows_owners { owner_of(from) } else { None };
        let number = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            state.owners.extend(owner.map(|owner| (number, owner)));
            number
        };
        if !self.passes(number) {
            return None;
        }
        let far = TcpStream::connect(("127.0.0.1", self.target)).ok()?;
        for socket in [&near, &far] {
            socket.set_nodelay(true).ok()?;
        }
        {
            let mut state = self.state();
            if state.ended || state.is_closed(number) {
                return None;
            }
            state.connections.insert(number, [near.try_clone().ok()?, far.try_clone().ok()?]);
        }
        let (back_from, back_to) = (far.try_clone().ok()?, near.try_clone().ok()?);
        let shared = Arc::clone(&self);
        let back = thread::spawn(move || shared.pump_replies(number, back_from, back_to));
        self.pump_requests(number, near, far);
        let _ = back.join();
        let mut state = self.state();
        state.connections.remove(&number);
        state.owners.remove(&number);
        Some(())
    }

    fn pump_requests(&self, number: u64, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes)
            && self.passes(number)
            && to.write_all(&bytes[..count]).is_ok()
        {}
        shut([&from, &to]);
    }

    fn pump_replies(&self, number: u64, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes)
            && self.passes(number)
        {
            let (cut, renamed) = {
                let state = self.state();
                (state.cut_of(number), state.renamed.clone())
            };
            let reply = &mut bytes[..count];
            for (old, new) in renamed {
                rename(reply, old, new);
            }
            let half = match cut {
                Some(Cut::InsideReply) => count / 2,
                Some(Cut::Late(by)) => {
                    let state = self.state();
                    drop(self.changed.wait_timeout_while(state, by, |state| !state.ended));
                    count
                }
                _ => count,
            };
            if to.write_all(&reply[..half]).is_err() || half < count {
                break;
            }
        }
        shut([&from, &to]);
    }
}

impl State {
    fn cut_of(&self, number: u64) -> Option<Cut> {
        let of_owner = self.cut_from.filter(|(process, _)| self.owners.get(&number) == Some(process));
        self.cut.or(of_owner.map(|(_, how)| how))
    }

    fn is_closed(&self, number: u64) -> bool {
        self.cut_of(number) == Some(Cut::Closed)
    }

    fn is_lost(&self, number: u64) -> bool {
        number < self.lost_below
    }

    fn close(&mut self) {
        for socket in self.connections.values().flatten() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn shut(sockets: [&TcpStream; 2]) {
    for socket in sockets {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// The process that has connected from this address of this machine.
fn owner_of(from: SocketAddr) -> Option<u32> {
    let SocketAddr::V4(from) = from else { return None };
    // The address stands there as a number of the machine's own byte order.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(from.ip().octets()), from.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inode =
        row.filter(|row| row.get(1) == Some(&local.as_str())).find_map(|row| row.get(9).map(ToString::to_string))?;
    let socket = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let is_it =
            |path: std::path::PathBuf| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == socket.as_str());
        files.any(|file| is_it(file.path())).then_some(pid)
    })
}

/// Replaces a port by another of as many digits where it stands alone: `:36379`, or a line of its own.
fn rename(reply: &mut [u8], old: u16, new: u16) {
    let (old, new) = (old.to_string(), new.to_string());
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let mut at = 0;
    while at + old.len() <= reply.len() {
        let end = at + old.len();
        let begins = at.checked_sub(1).is_none_or(|before| matches!(reply[before], b':' | b'\n'));
        let ends = reply.get(end).is_none_or(|next| !next.is_ascii_digit());
        if begins && ends && &reply[at..end] == old {
            reply[at..end].copy_from_slice(new);
            at = end;
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Two ends that talk through a proxy.
    fn ends() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port()).unwrap();
        let near = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (far, _) = listener.accept().unwrap();
        for end in [&near, &far] {
            end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        (proxy, near, far)
    }

    fn arrives(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        from.write_all(b"x").is_ok() && matches!(to.read(&mut [0; 1]), Ok(1))
    }

    /// Data that a silent cut holds back arrives once the cut ends, in both directions, over the same connection.
    #[test]
    fn a_silent_cut_holds_up() {
        let (proxy, mut near, mut far) = ends();
        assert!(arrives(&mut near, &mut far) && arrives(&mut far, &mut near));
        let cut = CutOff::cut([&proxy].into_iter(), Cut::Silent);
        near.write_all(b"later").unwrap();
        far.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(far.read(&mut [0; 5]).is_err());
        drop(cut);
        far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut held = [0; 5];
        far.read_exact(&mut held).unwrap();
        assert_eq!(&held, b"later");
        assert!(arrives(&mut far, &mut near));
    }

    /// A closed cut ends open connections and new ones, until the cut ends.
    #[test]
    fn a_closed_cut_ends_connections() {
        let (proxy, mut near, mut far) = ends();
        assert!(arrives(&mut near, &mut far));
        let cut = CutOff::cut([&proxy].into_iter(), Cut::Closed);
        assert!(matches!(near.read(&mut [0; 1]), Ok(0) | Err(_)) && matches!(far.read(&mut [0; 1]), Ok(0) | Err(_)));
        let mut refused = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        refused.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert!(matches!(refused.read(&mut [0; 1]), Ok(0) | Err(_)));
        drop(cut);
    }

    /// What was connected during the cut stays dumb after it, and new connections work.
    #[test]
    fn a_lost_connection_stays_dumb() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port()).unwrap();
        let connect = || {
            let near = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
            (near, listener.accept().unwrap().0)
        };
        let (mut near, mut far) = connect();
        assert!(arrives(&mut near, &mut far));
        drop(proxy.cut(Cut::Lost));
        near.write_all(b"x").unwrap();
        far.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(far.read(&mut [0; 1]).is_err());
        let (mut near, mut far) = connect();
        assert!(arrives(&mut near, &mut far) && arrives(&mut far, &mut near));
    }

    /// A port that has vanished answers no attempt to connect, and answers again once it is back.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_vanished_port_answers_nobody() {
        let (proxy, mut near, mut far) = ends();
        let cut = proxy.cut(Cut::Vanished);
        let to = SocketAddr::from(([127, 0, 0, 1], proxy.port()));
        let refused = TcpStream::connect_timeout(&to, Duration::from_millis(300)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(cut);
        assert!(arrives(&mut near, &mut far));
        assert!(TcpStream::connect_timeout(&to, Duration::from_secs(20)).is_ok());
    }

    /// Half of a reply arrives, then the end; requests had passed.
    #[test]
    fn a_reply_is_cut_in_the_middle() {
        let (proxy, mut near, mut far) = ends();
        let _cut = proxy.cut(Cut::InsideReply);
        assert!(arrives(&mut near, &mut far));
        far.write_all(b"12345678").unwrap();
        let mut read = Vec::new();
        let _ = near.read_to_end(&mut read);
        assert_eq!(read, b"1234");
    }

    /// A late reply arrives after its time, not before.
    #[test]
    fn a_late_reply_is_late() {
        let (proxy, mut near, mut far) = ends();
        let cut = proxy.cut(Cut::Late(Duration::from_millis(400)));
        assert!(arrives(&mut near, &mut far));
        far.write_all(b"x").unwrap();
        near.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        assert!(near.read(&mut [0; 1]).is_err());
        drop(cut);
        near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(near.read(&mut [0; 1]).unwrap(), 1);
    }

    /// A cut for one process holds up what that one has connected, and nothing else.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_cut_for_one_process_leaves_others_alone() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::between(listener.local_addr().unwrap().port()).unwrap();
        let mut near = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        assert!(arrives(&mut near, &mut far));
        let own = std::process::id();
        let others = proxy.cut_from(own + 1, Cut::Silent);
        assert!(arrives(&mut near, &mut far));
        drop(others);
        let cut = proxy.cut_from(own, Cut::Silent);
        far.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(!arrives(&mut near, &mut far));
        drop(cut);
        assert_eq!(far.read(&mut [0; 1]).unwrap(), 1);
    }

    /// Ports are renamed where they stand alone, and nowhere else.
    #[test]
    fn ports_are_renamed_where_they_stand_alone() {
        let renamed = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            rename(&mut bytes, 36379, 41000);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(renamed("-MOVED 7 127.0.0.1:36379\r\n"), "-MOVED 7 127.0.0.1:41000\r\n");
        assert_eq!(renamed("$5\r\n36379\r\n:36379\r\n"), "$5\r\n41000\r\n:41000\r\n");
        assert_eq!(renamed("136379 363790 :363791"), "136379 363790 :363791");
    }
}
