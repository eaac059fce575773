//! Prints on stdout, and writes messages to stderr without ever blocking.

/// Writes a message to stderr whether or not anybody reads it; `eprintln!` would panic or block.
macro_rules! say {
    ($($text:tt)*) => { crate::output::say(format_args!($($text)*)) };
}

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long to wait for a slow reader of stderr. It is waited for once, and not again until it reads.
const READER_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How many bytes a pipe that polls as writable takes at once without blocking.
const CHUNK_BYTES: usize = 4096;

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

/// The service that messages are written as JSON for, as its logs are; `None` where they are lines for people.
static JSON: Mutex<Option<&'static str>> = Mutex::new(None);

/// Has messages from now on written as JSON objects of this service, or again as lines for people.
pub(crate) fn set_json(service: Option<&'static str>) {
    *JSON.lock().unwrap_or_else(PoisonError::into_inner) = service;
}

/// The line that a message is written as.
fn line_of(text: std::fmt::Arguments<'_>) -> String {
    let service = *JSON.lock().unwrap_or_else(PoisonError::into_inner);
    match service {
        None => format!("{text}\n"),
        Some(service) => {
            let text = text.to_string();
            let message = text.strip_prefix("tenure: ").unwrap_or(&text);
            format!("{}\n", json_message(service, message))
        }
    }
}

/// A message for users as one JSON object, with the fields that log lines have.
fn json_message(service: &str, message: &str) -> serde_json::Value {
    let timestamp = jiff::Timestamp::now().to_string();
    serde_json::json!({ "timestamp": timestamp, "severity": "NOTICE", "service": service, "message": message })
}

/// Writes the text to stderr as one line. It never fails or blocks: a line that the reader does not take is dropped,
/// and the next line that it takes says how many were.
pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
    let stderr = rustix::stdio::stderr();
    let left_out = LEFT_OUT.swap(0, Ordering::AcqRel);
    let mut lines = String::new();
    if left_out > 0 {
        lines = line_of(format_args!("tenure: standard error was not read; messages left out: {left_out}"));
    }
    lines.push_str(&line_of(text));
    if !offer(stderr, lines.as_bytes()) {
        LEFT_OUT.fetch_add(left_out + 1, Ordering::AcqRel);
    }
}

/// Standard error for logs: what the reader does not take is dropped, and writing never fails or blocks.
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

/// Writes as much as the reader takes, and returns whether that was all.
fn offer(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    static BEHIND: AtomicBool = AtomicBool::new(false);
    while !bytes.is_empty() {
        let patience = if BEHIND.load(Ordering::Relaxed) { Timespec { tv_sec: 0, tv_nsec: 0 } } else { READER_TIMEOUT };
        let has_room = match poll(&mut [PollFd::new(&to.as_fd(), PollFlags::OUT)], Some(&patience)) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => false,
        };
        BEHIND.store(!has_room, Ordering::Relaxed);
        if !has_room {
            return false;
        }
        match rustix::io::write(to, &bytes[..bytes.len().min(CHUNK_BYTES)]) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            // The pipe is full again, because another process wrote to it first, or it is closed.
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stuck reader of stderr blocks no writer, a closed stderr ends no process, and a reader that reads gets
    /// everything.
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
