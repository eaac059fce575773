//! TCP proxies between servers that a test can cut without being root, on ports of 127.0.0.1.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What happens to the connections of a proxy that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing passes, and nobody is told: connections stay open, and data that was on its way arrives once the cut
    /// ends. As on a network that drops packets.
    Silent,
    /// Connections are closed, and new ones too. As on a network that refuses connections.
    Closed,
}

/// Servers that are cut off from others until this is dropped.
#[derive(Debug)]
#[must_use = "the way is mended when this is dropped"]
pub struct CutOff(Vec<Arc<Shared>>);

/// A proxy to a port: a client that connects to the proxy's own port talks with that one.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cut: Option<Cut>,
    ended: bool,
    /// Both ends of each connection, by number.
    connections: BTreeMap<u64, [TcpStream; 2]>,
    next: u64,
}

impl Proxy {
    /// A proxy to `target`, where nobody needs to listen yet.
    pub fn to(target: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { target, state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Ok(Proxy { port, shared })
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it, until the value is dropped.
    pub fn cut(&self, how: Cut) -> CutOff {
        CutOff::cut(std::iter::once(self), how)
    }
}

impl CutOff {
    /// Cuts all these proxies.
    pub(crate) fn cut<'a>(proxies: impl Iterator<Item = &'a Proxy>, how: Cut) -> CutOff {
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
            proxy.set(None);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.close();
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, cut: Option<Cut>) {
        let mut state = self.state();
        state.cut = cut;
        if cut == Some(Cut::Closed) {
            state.close();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until data may pass; returns false where it never will.
    fn passes(&self) -> bool {
        let silent = |state: &mut State| state.cut == Some(Cut::Silent) && !state.ended;
        let state = self.changed.wait_while(self.state(), silent).unwrap_or_else(PoisonError::into_inner);
        state.cut.is_none() && !state.ended
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        while let Ok((near, _)) = listener.accept() {
            if self.state().ended {
                return;
            }
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(near));
        }
    }

    /// Carries bytes in both directions until one side has gone.
    fn carry(self: Arc<Shared>, near: TcpStream) -> Option<()> {
        if !self.passes() {
            return None;
        }
        let far = TcpStream::connect(("127.0.0.1", self.target)).ok()?;
        for socket in [&near, &far] {
            socket.set_nodelay(true).ok()?;
        }
        let number = {
            let mut state = self.state();
            if state.ended || state.cut == Some(Cut::Closed) {
                return None;
            }
            let number = state.next;
            state.next += 1;
            state.connections.insert(number, [near.try_clone().ok()?, far.try_clone().ok()?]);
            number
        };
        let (back_from, back_to) = (far.try_clone().ok()?, near.try_clone().ok()?);
        let shared = Arc::clone(&self);
        let back = thread::spawn(move || shared.pump(back_from, back_to));
        self.pump(near, far);
        let _ = back.join();
        self.state().connections.remove(&number);
        Some(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes)
            && self.passes()
            && to.write_all(&bytes[..count]).is_ok()
        {}
        for socket in [&from, &to] {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn close(&mut self) {
        for socket in self.connections.values().flatten() {
            let _ = socket.shutdown(Shutdown::Both);
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
}
