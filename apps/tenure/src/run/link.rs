//! What `tenure run` and its watchdog tell each other, over a pair of sockets: one JSON object a line.
//!
//! The watchdog's end is its standard input, so nothing has to be inherited by number, and nothing of what is said here
//! (the store's URL above all) ever stands in an argument or the environment. CMD's standard streams travel beside the
//! message that starts it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tenure_core::Time;

/// The standard streams that travel with [`Order::Start`].
pub(super) const STREAMS: usize = 3;
/// The longest message. Arguments of a program can take 2 MiB, written here as numbers.
const LONGEST: usize = 16 << 20;

/// What `tenure run` tells the watchdog.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Order {
    /// The first message: what a release would need if this process died.
    Know(Charge),
    /// Start CMD: this process leads.
    Start(Box<Start>),
    /// A renewal was answered: the tenure lasts until then.
    Extend { deadline: Moment },
    /// Pass this signal on to CMD.
    Pass { signal: i32 },
    /// Stop everything of CMD, as Ctrl-Z would.
    Suspend,
    /// Let it go on, unless its time is over.
    Resume,
    /// End the work: this signal now, SIGKILL after the stop timeout.
    End { signal: i32 },
    /// Answer with [`Report::Here`].
    Ask,
    /// The report of the end has arrived: `tenure run` settles the lease.
    Heard,
    /// Kill everything now: the right to act has ended.
    Kill,
    /// The lease is released, or left to last as long as it should: nothing is to be done for that tenure any more.
    Settled,
    /// Nothing is held and nothing is claimed: end.
    Quit,
}

impl Order {
    /// The tenure that this begins, where it begins one.
    pub(super) fn as_start(&mut self) -> Option<&mut Start> {
        match self {
            Order::Start(start) => Some(start),
            _ => None,
        }
    }
}

/// What the watchdog releases where nobody else does.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Charge {
    /// The store's URL, with its secrets.
    pub(super) store: String,
    /// What is campaigned for: this key, or that many slots of it.
    pub(super) lease: String,
    pub(super) slots: Option<u32>,
    /// The process half of every nonce.
    pub(super) process: u64,
    pub(super) ttl: Duration,
    /// The process group of `tenure run`, which the terminal goes back to; 0 where it has none in this PID namespace.
    pub(super) group: i32,
}

/// A tenure, and the command to run in it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Start {
    pub(super) key: String,
    pub(super) nonce: String,
    pub(super) term: u64,
    pub(super) holder: String,
    pub(super) note: String,
    pub(super) deadline: Moment,
    /// How often the deadline is moved while all is well.
    pub(super) renew: Duration,
    pub(super) stop_timeout: Duration,
    /// How long before the deadline everything is killed.
    pub(super) kill_lead: Duration,
    /// How much earlier that may begin, where there is much to kill, before a renewal could have failed.
    pub(super) spare: Duration,
    pub(super) stop_signal: i32,
    /// Until when the lease is to last, whatever becomes of the command.
    pub(super) keep_until: Moment,
    pub(super) command: Vec<OsString>,
    /// What the shell runs beside it at the beginning.
    pub(super) on_elected: Option<String>,
    /// Whether the terminal is to be CMD's at once.
    pub(super) foreground: bool,
}

/// What the watchdog tells.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Report {
    /// CMD was started, or what will become it.
    /// The folders are that of the status file, and that of the control group where there is one.
    Started { pid: i32, folder: String, group: Option<PathBuf> },
    /// An answer to [`Order::Ask`].
    Here,
    /// It could not even be tried.
    NotStarted { error: String },
    /// CMD was stopped by this signal.
    Stopped { signal: i32 },
    /// The watchdog ends the work by itself: the deadline is near.
    Ending,
    /// CMD ended with this status, and nothing that it started is left.
    Ended { status: i32 },
}

/// A moment on the boottime clock, the same for every process of a machine.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Moment(u64);

impl From<Time> for Moment {
    fn from(at: Time) -> Moment {
        Moment(at.as_nanos())
    }
}

impl From<Moment> for Time {
    fn from(Moment(at): Moment) -> Time {
        Time::from_nanos(at)
    }
}

/// A message as it is sent.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Sends as much as fits, with descriptors beside the first byte; answers how much it was.
pub(super) fn send(socket: impl AsFd, bytes: &[u8], streams: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !streams.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(streams)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// What has arrived and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: VecDeque<u8>,
    /// How many of them hold no line's end.
    searched: usize,
    streams: VecDeque<OwnedFd>,
}

/// What one look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Something.
    Some,
    /// Nothing at the moment.
    Nothing,
    /// The other side has gone.
    Closed,
}

impl Inbox {
    /// Reads what has arrived, without waiting.
    pub(super) fn receive(&mut self, socket: impl AsFd) -> io::Result<Arrival> {
        let mut buffer = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT;
        #[cfg(target_os = "linux")]
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut beside, flags) {
            Ok(received) => received,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Ok(Arrival::Nothing),
            // It died with something unread.
            Err(rustix::io::Errno::CONNRESET) => return Ok(Arrival::Closed),
            Err(error) => return Err(error.into()),
        };
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(streams) = message {
                self.streams.extend(streams);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || self.streams.len() > STREAMS {
            return Err(io::Error::other("descriptors were lost on their way"));
        }
        if received.bytes == 0 {
            return Ok(Arrival::Closed);
        }
        self.bytes.extend(&buffer[..received.bytes]);
        if self.bytes.len() > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
        Ok(Arrival::Some)
    }

    /// The next whole message.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.bytes.iter().skip(self.searched).position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=self.searched + end).collect();
        self.searched = 0;
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// The descriptors that came with the last message.
    pub(super) fn take_streams(&mut self) -> Option<[OwnedFd; STREAMS]> {
        let streams: Vec<OwnedFd> = self.streams.drain(..).collect();
        streams.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::net::UnixStream;

    fn start() -> Start {
        Start {
            key: "k".into(),
            nonce: "0".repeat(32),
            term: 7,
            holder: "h\"\n".into(),
            note: String::new(),
            deadline: Moment(5),
            renew: Duration::from_secs(1),
            spare: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(1),
            kill_lead: Duration::from_millis(250),
            stop_signal: 15,
            keep_until: Moment(0),
            command: vec!["cmd".into(), OsString::from_vec(vec![0xff, b'\n'])],
            on_elected: None,
            foreground: false,
        }
    }

    /// Messages arrive whole and in order, however they are cut, and the streams come with theirs.
    #[test]
    fn messages_and_streams_arrive() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let bytes = encode(&Order::Start(Box::new(start()))).unwrap();
        let mut inbox = Inbox::default();
        assert_eq!(inbox.receive(&there).unwrap(), Arrival::Nothing);
        send(&here, &bytes[..5], &[file.as_fd(), file.as_fd(), file.as_fd()]).unwrap();
        assert_eq!(inbox.receive(&there).unwrap(), Arrival::Some);
        assert!(inbox.next::<Order>().unwrap().is_none());
        send(&here, &bytes[5..], &[]).unwrap();
        send(&here, &encode(&Order::Kill).unwrap(), &[]).unwrap();
        drop(here);
        while inbox.receive(&there).unwrap() != Arrival::Closed {}
        let Some(Order::Start(got)) = inbox.next().unwrap() else { panic!("no start") };
        assert_eq!((got.command, got.holder), (start().command, start().holder));
        let [stream, ..] = inbox.take_streams().unwrap();
        std::fs::File::from(stream).write_all(b"through").unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert!(matches!(inbox.next().unwrap(), Some(Order::Kill)));
        assert!(inbox.next::<Order>().unwrap().is_none() && inbox.take_streams().is_none());
    }
}
