//! What is printed on stdout, and what is said on stderr.

/// Says something on stderr, whether anybody reads it or not: `eprintln!` would panic or block then.
macro_rules! say {
    ($($text:tt)*) => { crate::output::say(format_args!($($text)*)) };
}

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a reader of stderr that is behind is waited for. Only once: until it reads again it is waited for no more.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// What a pipe that has room takes without blocking, whole.
const PIECE: usize = 4096;

/// Prints the text and a line's end. A reader that has gone is no error: `tenure stores | head -1` is quiet.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints the text and a line's end; answers whether anybody still reads, for commands that go on for ever.
pub(crate) fn line_if_read(text: impl std::fmt::Display) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Says the text on stderr, as one line. Who reads it, or has stopped to, has no say in what this process does: nothing here
/// fails or blocks, and what nobody takes is left out, which the next line that is taken tells.
pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
    let stderr = rustix::stdio::stderr();
    let left_out = LEFT_OUT.swap(0, Ordering::AcqRel);
    let mut lines = String::new();
    if left_out > 0 {
        lines = format!("tenure: standard error was not read; messages left out: {left_out}\n");
    }
    lines.push_str(&format!("{text}\n"));
    if !offer(stderr, lines.as_bytes()) {
        LEFT_OUT.fetch_add(left_out + 1, Ordering::AcqRel);
    }
}

/// Standard error for logs: what nobody takes is left out, and writing never fails or blocks.
#[derive(Debug)]
pub(crate) struct StderrWriter;

impl Write for StderrWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        offer(rustix::stdio::stderr(), bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as much as is taken; answers whether that was all.
fn offer(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    static BEHIND: AtomicBool = AtomicBool::new(false);
    while !bytes.is_empty() {
        let patience = if BEHIND.load(Ordering::Relaxed) { Timespec { tv_sec: 0, tv_nsec: 0 } } else { PATIENCE };
        let has_room = match poll(&mut [PollFd::new(&to.as_fd(), PollFlags::OUT)], Some(&patience)) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => false,
        };
        BEHIND.store(!has_room, Ordering::Relaxed);
        if !has_room {
            return false;
        }
        match rustix::io::write(to, &bytes[..bytes.len().min(PIECE)]) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            // Full all the same (somebody else was faster, on a stream that does not block), or closed.
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes nothing keeps nobody waiting, one that has gone ends nobody, and one that reads gets everything.
    #[test]
    fn nobody_waits_for_a_reader_of_errors() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let line = [b'x'; 10_000];
        assert!(offer(writer.as_fd(), &line));
        let mut taken = 0;
        while taken < line.len() {
            taken += rustix::io::read(&reader, &mut [0; 20_000]).unwrap();
        }
        assert_eq!(taken, line.len());
        assert!((0..100).any(|_| !offer(writer.as_fd(), &line)), "a pipe is not without bounds");
        assert!(!offer(writer.as_fd(), b"more"));
        rustix::io::read(&reader, &mut [0; 65_536]).unwrap();
        assert!(offer(writer.as_fd(), b"again"));
        drop(reader);
        assert!(!offer(writer.as_fd(), b"nobody"));
    }
}
