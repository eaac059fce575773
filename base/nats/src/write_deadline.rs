//! The write deadline: a socket that hands nothing to the system after a moment that its user sets.
//!
//! A process that is stopped in the middle of a batch goes on, once it is continued, exactly where it was: with bytes in
//! its buffers that it may not publish any more. This socket lies below every buffer (TLS has one too). It asks the
//! boottime clock right before each write to the system; once the moment has passed it resets the connection, so that the
//! system throws away what it has not sent yet.
//!
//! What remains: a write that began before the moment while the process was suspended between the question and the system
//! call (a matter of instructions, at most one buffer), and bytes that the system had sent in time and the server reads late.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tenure_base_time::{Time, now};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Stands for a deadline that is not set.
const NONE: u64 = u64::MAX;

/// Until when a connection may be written to: shared between the connection, which sets it, and its socket, which keeps it.
#[derive(Debug)]
pub(crate) struct WriteDeadline {
    /// Nanoseconds of the boottime clock, or [`NONE`].
    at: AtomicU64,
    /// Whether a write was refused. That is for good: bytes before it may be missing on the wire.
    has_refused: AtomicBool,
}

impl WriteDeadline {
    /// Not set.
    pub(crate) fn unset() -> Arc<WriteDeadline> {
        Arc::new(WriteDeadline { at: AtomicU64::new(NONE), has_refused: AtomicBool::new(false) })
    }

    /// From now on nothing is written after this moment; `None` takes the limit away.
    pub(crate) fn set(&self, at: Option<Time>) {
        self.at.store(at.map_or(NONE, Time::as_nanos), Ordering::Release);
    }

    /// Whether a write was refused because the moment had passed.
    pub(crate) fn has_refused(&self) -> bool {
        self.has_refused.load(Ordering::Acquire)
    }

    fn is_set(&self) -> bool {
        self.at.load(Ordering::Acquire) != NONE
    }

    fn admits(&self) -> bool {
        let at = self.at.load(Ordering::Acquire);
        // Without a deadline the clock is not asked.
        let admits = !self.has_refused() && (at == NONE || now().as_nanos() < at);
        if !admits {
            self.has_refused.store(true, Ordering::Release);
        }
        admits
    }
}

/// A TCP connection under a [`WriteDeadline`].
#[derive(Debug)]
pub(crate) struct DeadlineSocket {
    socket: TcpStream,
    deadline: Arc<WriteDeadline>,
}

impl DeadlineSocket {
    pub(crate) fn new(socket: TcpStream, deadline: Arc<WriteDeadline>) -> DeadlineSocket {
        DeadlineSocket { socket, deadline }
    }
}

impl Drop for DeadlineSocket {
    /// Resets the connection where a deadline is set, in place of closing it in order: what the system still holds of it
    /// must not arrive whenever the other side reads on, perhaps long after the deadline.
    fn drop(&mut self) {
        if self.deadline.is_set() {
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl AsyncRead for DeadlineSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for DeadlineSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.deadline.admits() {
            // Closing then resets the connection; where that cannot be asked for, it is closed all the same.
            let _ = self.socket.set_zero_linger();
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, "the write deadline has passed")));
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Once the deadline has passed nothing is written, also not after another one was set, and the other side sees a reset.
    #[tokio::test]
    async fn nothing_is_written_after_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deadline = WriteDeadline::unset();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut socket = DeadlineSocket::new(tcp, Arc::clone(&deadline));
        let (mut peer, _) = listener.accept().await.unwrap();
        socket.write_all(b"unlimited;").await.unwrap();
        deadline.set(Some(now() + Duration::from_secs(60)));
        socket.write_all(b"in time").await.unwrap();
        let mut got = [0; 17];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"unlimited;in time");

        deadline.set(Some(now()));
        assert!(socket.write_all(b"late").await.is_err() && deadline.has_refused());
        deadline.set(None);
        assert!(socket.write_all(b"later").await.is_err());
        drop(socket);
        let error = peer.read(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    /// A connection that is dropped while a deadline is set takes along what the system has not sent: the other side reads a
    /// reset, and not the rest. One without a deadline is closed in order.
    #[tokio::test]
    async fn what_was_not_sent_is_dropped_with_the_connection() {
        for limited in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let deadline = WriteDeadline::unset();
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut socket = DeadlineSocket::new(tcp, Arc::clone(&deadline));
            let (mut peer, _) = listener.accept().await.unwrap();
            if limited {
                deadline.set(Some(now() + Duration::from_secs(60)));
            }
            // More than the other side has room for; it does not read yet.
            let mut written = 0;
            while let Ok(more) =
                tokio::time::timeout(Duration::from_millis(200), socket.write(&[b'x'; 64 * 1024])).await
            {
                written += more.unwrap();
            }
            drop(socket);
            let mut got = Vec::new();
            let read = peer.read_to_end(&mut got).await.map_err(|error| error.kind());
            if limited {
                assert_eq!(read, Err(io::ErrorKind::ConnectionReset));
                assert!(got.len() < written, "{} of {written}", got.len());
            } else {
                assert_eq!(read, Ok(written));
            }
        }
    }
}
