//! The bus that prints: one envelope per line on standard output, and nothing else.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};

/// The most messages that one call prints.
const BATCH_LIMIT: usize = 1024;
/// How long to wait where a non-blocking pipe is full.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(2);

/// Prints each envelope on a line of its own: one write per batch, flushed before the call returns.
///
/// It drops no second message, fences nobody and cannot be followed. A position is the number of the line in this
/// process. `Ok` means that the operating system has taken the bytes, not that the reader has. A reader that stops
/// reading holds `publish` up; a reader that has gone away fails it with [`BusErrorKind::Invalid`].
pub struct StdoutBus {
    sink: Arc<Mutex<Sink>>,
}

struct Sink {
    out: Box<dyn Write + Send>,
    lines: u64,
    buffer: Vec<u8>,
}

impl StdoutBus {
    /// The bus that prints to this process's standard output.
    pub fn new() -> StdoutBus {
        StdoutBus::writing_to(Box::new(io::stdout()))
    }

    /// The same bus over another writer.
    pub fn writing_to(out: Box<dyn Write + Send>) -> StdoutBus {
        StdoutBus { sink: Arc::new(Mutex::new(Sink { out, lines: 0, buffer: Vec::new() })) }
    }
}

impl Default for StdoutBus {
    fn default() -> Self {
        StdoutBus::new()
    }
}

impl fmt::Debug for StdoutBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdoutBus").finish_non_exhaustive()
    }
}

#[async_trait]
impl Bus for StdoutBus {
    fn info(&self) -> BusInfo {
        BusInfo { scheme: "stdout", dedupe: None, fence: false, follow: false, batch_limit: BATCH_LIMIT }
    }

    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let count = batch.messages.len();
        if count > BATCH_LIMIT {
            let text = format!("a batch of {count} messages: stdout: takes at most {BATCH_LIMIT}, send it in parts");
            return Err(BusError::new(BusErrorKind::Invalid, text));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let bodies: Vec<_> = batch.messages.iter().map(|message| message.body.clone()).collect();
        let sink = Arc::clone(&self.sink);
        // A full pipe blocks, so the write must not hold up the runtime.
        let print = move || sink.lock().unwrap_or_else(PoisonError::into_inner).print(&bodies);
        tokio::task::spawn_blocking(print)
            .await
            .map_err(|error| BusError::new(BusErrorKind::Unavailable, "stdout: did not finish").with_source(error))?
    }

    async fn follow(&self, _subject: &str, _from: FollowFrom) -> Result<FollowStream, BusError> {
        Err(BusError::new(BusErrorKind::Unsupported, "stdout: cannot be followed: what is printed cannot be read back"))
    }
}

impl Sink {
    fn print(&mut self, bodies: &[bytes::Bytes]) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        self.buffer.clear();
        let mut answers = Vec::with_capacity(bodies.len());
        let mut lines = self.lines;
        for body in bodies {
            if body.contains(&b'\n') {
                answers
                    .push(Err(Refusal::Rejected("stdout: prints one line per message, this one has several".into())));
                continue;
            }
            self.buffer.extend_from_slice(body);
            self.buffer.push(b'\n');
            lines += 1;
            answers.push(Ok(Published::Stored(lines)));
        }
        write_whole(&mut self.out, &self.buffer).map_err(broken)?;
        self.lines = lines;
        Ok(answers)
    }
}

/// Writes and flushes all of `bytes`, even where the descriptor is non-blocking.
fn write_whole(out: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    let mut flushed = false;
    while !bytes.is_empty() || !flushed {
        let step = if bytes.is_empty() { out.flush().map(|()| 0) } else { out.write(bytes) };
        match step {
            Ok(0) if bytes.is_empty() => flushed = true,
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PIPE_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A failed write is permanent: the reader is gone, or the disk behind standard output is full.
fn broken(error: io::Error) -> BusError {
    let text = match error.kind() {
        ErrorKind::BrokenPipe => "stdout: nobody reads standard output any more (broken pipe)".to_owned(),
        _ => format!("stdout: standard output cannot be written: {error}"),
    };
    BusError::new(BusErrorKind::Invalid, text).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;
    use tenure_envelope::EnvelopeId;

    use super::*;
    use crate::Message;

    fn message(n: u8, body: &str) -> Message {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Message { id: EnvelopeId([n; 16]), kind: "external.chat.message.v1", channel: "room".into(), body }
    }

    /// Takes a few bytes at a time, refusing every other call as a full pipe does; counts its flushes.
    #[derive(Clone, Default)]
    struct Reluctant(Arc<Mutex<(Vec<u8>, usize, usize)>>);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut inner = self.0.lock().unwrap();
            inner.1 += 1;
            if inner.1 % 2 == 1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(7);
            inner.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.lock().unwrap().2 += 1;
            Ok(())
        }
    }

    /// Every envelope is one line, in order, whole, and flushed once per batch, however little the pipe takes at once.
    #[tokio::test]
    async fn prints_one_line_per_envelope() {
        let out = Reluctant::default();
        let bus = StdoutBus::writing_to(Box::new(out.clone()));
        let messages = [message(1, r#"{"a":"one"}"#), message(2, "{\n}"), message(1, r#"{"a":"two, longer"}"#)];
        let answers =
            bus.publish(&Batch { subject: "s", fence: None, valid_until: None, messages: &messages }).await.unwrap();
        assert_eq!(answers[0], Ok(Published::Stored(1)));
        assert!(matches!(&answers[1], Err(Refusal::Rejected(_))));
        assert_eq!(answers[2], Ok(Published::Stored(2)));
        let inner = out.0.lock().unwrap();
        assert_eq!(String::from_utf8_lossy(&inner.0), "{\"a\":\"one\"}\n{\"a\":\"two, longer\"}\n");
        assert_eq!(inner.2, 1);
    }

    /// A reader that went away is an error in words, never a panic.
    #[tokio::test]
    async fn reader_gone_is_a_clear_error() {
        let (reader, writer) = io::pipe().unwrap();
        let bus = StdoutBus::writing_to(Box::new(writer));
        let messages = [message(1, "{}")];
        let batch = Batch { subject: "s", fence: None, valid_until: None, messages: &messages };
        let mut first = [0; 3];
        bus.publish(&batch).await.unwrap();
        (&reader).read_exact(&mut first).unwrap();
        assert_eq!(&first, b"{}\n");
        drop(reader);
        let error = bus.publish(&batch).await.unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Invalid);
        assert!(error.to_string().contains("broken pipe"), "{error}");
    }

    /// This bus cannot be followed, and its `info` says so.
    #[tokio::test]
    async fn following_is_unsupported() {
        let bus = StdoutBus::writing_to(Box::new(io::sink()));
        assert!(!bus.info().follow && !bus.info().fence && bus.info().dedupe.is_none());
        let error = bus.follow("s", FollowFrom::Start).await.err().unwrap();
        assert_eq!(error.kind(), BusErrorKind::Unsupported);
    }
}
