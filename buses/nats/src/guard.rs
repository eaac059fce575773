//! The socket that writes nothing after the publisher's right has ended.
//!
//! A process that is stopped in the middle of a batch goes on, once it is continued, exactly where it was: with bytes in
//! its buffers that nobody may publish any more. Here, below every buffer (TLS has one too), the clock is asked right
//! before each write to the system; once the moment has passed the connection is reset, so that what the system has
//! not sent yet is thrown away as well.
//!
//! What remains: a write that began before the moment and was suspended between the question and the system call (a
//! matter of instructions, at most one buffer), and bytes that the system had sent in time and the server reads late.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tenure_core::Time;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock;

/// Until when a connection may be written to.
#[derive(Debug)]
pub(crate) struct Validity {
    until: AtomicU64,
    ended: AtomicBool,
}

impl Validity {
    /// Without an end, until one is set.
    pub(crate) fn unlimited() -> Arc<Validity> {
        Arc::new(Validity { until: AtomicU64::new(u64::MAX), ended: AtomicBool::new(false) })
    }

    /// From now on nothing is written after this moment; `None` takes the limit away.
    pub(crate) fn set(&self, until: Option<Time>) {
        self.until.store(until.unwrap_or(Time::MAX).as_nanos(), Ordering::Release);
    }

    /// Whether a write was refused because the moment had passed.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn admits(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        // A batch that nobody limits asks no clock.
        let admits = !self.has_ended() && (until == u64::MAX || clock::now().as_nanos() < until);
        if !admits {
            self.ended.store(true, Ordering::Release);
        }
        admits
    }
}

/// A TCP connection under a [`Validity`].
#[derive(Debug)]
pub(crate) struct Guarded {
    socket: TcpStream,
    validity: Arc<Validity>,
}

impl Guarded {
    pub(crate) fn new(socket: TcpStream, validity: Arc<Validity>) -> Guarded {
        Guarded { socket, validity }
    }
}

impl Drop for Guarded {
    /// In the middle of what a right covers a connection is only given up, never closed in order: what the system still
    /// holds of it must not arrive whenever the other side reads on, perhaps long after the right has ended.
    fn drop(&mut self) {
        if self.validity.until.load(Ordering::Acquire) != u64::MAX {
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.validity.admits() {
            // Closing then resets the connection; where that cannot be asked for, it is closed all the same.
            let _ = self.socket.set_zero_linger();
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, "the right to publish has ended")));
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

    /// Once the moment has passed nothing is written, also not after another moment was set, and the other side sees a
    /// reset.
    #[tokio::test]
    async fn nothing_is_written_after_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let validity = Validity::unlimited();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut guarded = Guarded::new(socket, Arc::clone(&validity));
        let (mut peer, _) = listener.accept().await.unwrap();
        guarded.write_all(b"unlimited;").await.unwrap();
        validity.set(Some(clock::now() + Duration::from_secs(60)));
        guarded.write_all(b"in time").await.unwrap();
        let mut got = [0; 17];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"unlimited;in time");

        validity.set(Some(clock::now()));
        assert!(guarded.write_all(b"late").await.is_err() && validity.has_ended());
        validity.set(None);
        assert!(guarded.write_all(b"later").await.is_err());
        drop(guarded);
        let error = peer.read(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    /// A connection that is given up in the middle of what its right covers takes along what the system has not sent:
    /// the other side reads a reset, and not the rest. One without a right to end is closed in order.
    #[tokio::test]
    async fn what_was_not_sent_goes_with_the_connection() {
        for limited in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let validity = Validity::unlimited();
            let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut guarded = Guarded::new(socket, Arc::clone(&validity));
            let (mut peer, _) = listener.accept().await.unwrap();
            if limited {
                validity.set(Some(clock::now() + Duration::from_secs(60)));
            }
            // More than the other side has room for; it does not read yet.
            let mut written = 0;
            while let Ok(more) =
                tokio::time::timeout(Duration::from_millis(200), guarded.write(&[b'x'; 64 * 1024])).await
            {
                written += more.unwrap();
            }
            drop(guarded);
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
