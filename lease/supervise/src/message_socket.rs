//! Messages between two processes over a pair of Unix sockets, one JSON object a line, with file descriptors beside them.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many standard streams a command has, which is how many descriptors a message may have.
pub const STREAMS: usize = 3;
/// The longest message, in bytes. Arguments of a program can take 2 MiB, written here as numbers.
const LONGEST: usize = 16 << 20;

/// One end. Never blocks: what the socket does not take is queued, and whoever waits for it calls [`MessageSocket::flush`] and
/// [`MessageSocket::receive`] when it is ready.
#[derive(Debug)]
pub struct MessageSocket<S> {
    socket: S,
    received: VecDeque<u8>,
    /// How many of the received bytes were searched for the end of a line in vain.
    searched: usize,
    streams: VecDeque<OwnedFd>,
    /// Each message with the descriptors that go beside its first byte.
    unsent: VecDeque<(Vec<u8>, Vec<BorrowedFd<'static>>)>,
}

/// What one look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A part of a message, or several messages.
    Bytes,
    /// Nothing at the moment.
    Nothing,
    /// The other side has closed its end.
    Closed,
}

impl<S: AsFd> MessageSocket<S> {
    /// Talks over this Unix socket, of the standard library or of an async runtime.
    pub fn new(socket: S) -> MessageSocket<S> {
        let (received, streams, unsent) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        MessageSocket { socket, received, searched: 0, streams, unsent }
    }

    /// The socket, to wait until it is ready.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket; what was queued is lost.
    pub fn into_socket(self) -> S {
        self.socket
    }

    /// Sends a message behind those that are queued, with descriptors that the other side gets copies of, at most [`STREAMS`]. A
    /// message that cannot be encoded is not sent; that the other side has gone is noticed by receiving.
    pub fn send(&mut self, message: &impl Serialize, streams: &[BorrowedFd<'static>]) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            self.unsent.push_back((line, streams.to_vec()));
        }
        let _ = self.flush();
    }

    /// How many messages are queued.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Sends what is queued. Fails with [`io::ErrorKind::WouldBlock`] where the socket does not take all of it.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((bytes, streams)) = self.unsent.front_mut() {
            let sent = send(&self.socket, bytes, streams)?;
            streams.clear();
            bytes.drain(..sent);
            if bytes.is_empty() {
                self.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// Reads what has arrived. An error means that what comes can be no message.
    pub fn receive(&mut self) -> io::Result<Received> {
        let mut buffer = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
        let mut descriptors = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT;
        #[cfg(target_os = "linux")]
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut descriptors, flags) {
            Ok(received) => received,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Ok(Received::Nothing),
            // The other side died before it had read everything.
            Err(rustix::io::Errno::CONNRESET) => return Ok(Received::Closed),
            Err(error) => return Err(error.into()),
        };
        for message in descriptors.drain() {
            if let RecvAncillaryMessage::ScmRights(streams) = message {
                self.streams.extend(streams);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || self.streams.len() > STREAMS {
            return Err(io::Error::other("descriptors were lost on their way"));
        }
        if received.bytes == 0 {
            return Ok(Received::Closed);
        }
        self.received.extend(&buffer[..received.bytes]);
        if self.received.len() > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
        Ok(Received::Bytes)
    }

    /// The next whole message that was received.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.received.iter().skip(self.searched).position(|byte| *byte == b'\n') else {
            self.searched = self.received.len();
            return Ok(None);
        };
        let line: Vec<u8> = self.received.drain(..=self.searched + end).collect();
        self.searched = 0;
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// The descriptors that came with the last message, where there were [`STREAMS`] of them.
    pub fn take_streams(&mut self) -> Option<[OwnedFd; STREAMS]> {
        let streams: Vec<OwnedFd> = self.streams.drain(..).collect();
        streams.try_into().ok()
    }
}

/// Sends as much as fits, with descriptors beside the first byte; returns how many bytes that was.
fn send(socket: impl AsFd, bytes: &[u8], streams: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut descriptors = SendAncillaryBuffer::new(&mut space);
    if !streams.is_empty() && !descriptors.push(SendAncillaryMessage::ScmRights(streams)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::net::UnixStream;

    /// Messages arrive whole and in order, however they are cut, and the streams come with theirs.
    #[test]
    fn messages_and_streams_arrive() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut receiver = MessageSocket::new(there);
        let odd: Vec<OsString> = vec!["h\"\n".into(), OsString::from_vec(vec![0xff, b'\n'])];
        let mut bytes = serde_json::to_vec(&odd).unwrap();
        bytes.push(b'\n');
        assert_eq!(receiver.receive().unwrap(), Received::Nothing);
        let (reader, writer) = UnixStream::pair().unwrap();
        send(&here, &bytes[..5], &[writer.as_fd(), writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        assert_eq!(receiver.receive().unwrap(), Received::Bytes);
        assert!(receiver.next_message::<Vec<OsString>>().unwrap().is_none());
        send(&here, &bytes[5..], &[]).unwrap();
        let mut sender = MessageSocket::new(here);
        sender.send(&7, &[]);
        drop(sender);
        while receiver.receive().unwrap() != Received::Closed {}
        assert_eq!(receiver.next_message::<Vec<OsString>>().unwrap(), Some(odd));
        let [stream, ..] = receiver.take_streams().unwrap();
        io::Write::write_all(&mut std::fs::File::from(stream), b"through").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "through");
        assert_eq!(receiver.next_message::<i32>().unwrap(), Some(7));
        assert!(receiver.next_message::<i32>().unwrap().is_none() && receiver.take_streams().is_none());
    }

    /// What the socket does not take is queued, and sent once there is room.
    #[test]
    fn a_full_socket_queues() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut sender, mut receiver) = (MessageSocket::new(here), MessageSocket::new(there));
        let long = "x".repeat(1 << 20);
        sender.send(&long, &[]);
        sender.send(&long, &[]);
        assert_eq!((sender.unsent(), sender.flush().unwrap_err().kind()), (2, io::ErrorKind::WouldBlock));
        let mut arrived = 0;
        while arrived < 2 {
            let _ = sender.flush();
            receiver.receive().unwrap();
            arrived += usize::from(receiver.next_message::<String>().unwrap().is_some_and(|text| text == long));
        }
        assert_eq!(sender.unsent(), 0);
    }
}
