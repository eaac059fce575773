//! A listener with bounds on the number of connections and the lifetime of each. Slow or idle clients can neither pile
//! up nor keep a probe waiting.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// How many connections may be open. One more closes the oldest: an answer takes milliseconds, so the oldest is one
/// that idles or reads slowly.
const CONNECTIONS: usize = 64;
/// How long a connection may last. A client that keeps one open for its next request has to connect again.
const LIFETIME: Duration = Duration::from_secs(10);

/// Accepts connections within the bounds.
#[derive(Debug)]
pub(super) struct BoundedListener {
    inner: TcpListener,
    /// The tokens of open connections, oldest first; a connection that has ended has cancelled its token.
    open: VecDeque<CancellationToken>,
    most: usize,
    lifetime: Duration,
}

impl BoundedListener {
    /// Puts the bounds around a listener.
    pub(super) fn new(inner: TcpListener) -> BoundedListener {
        BoundedListener { inner, open: VecDeque::new(), most: CONNECTIONS, lifetime: LIFETIME }
    }
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.inner).await;
        if self.open.len() >= self.most {
            self.open.retain(|connection| !connection.is_cancelled());
        }
        while self.open.len() >= self.most {
            if let Some(oldest) = self.open.pop_front() {
                oldest.cancel();
            }
        }
        let token = CancellationToken::new();
        self.open.push_back(token.clone());
        let connection = Connection {
            stream,
            lasted: Box::pin(sleep(self.lifetime)),
            closed: Box::pin(token.clone().cancelled_owned()),
            _ended: token.drop_guard(),
        };
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that ends by itself, at the end of its lifetime, or to make room.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    lasted: Pin<Box<Sleep>>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    _ended: DropGuard,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.lasted.as_mut().poll(context).is_ready() || self.closed.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the connection has lasted long enough"));
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn serve(most: usize, lifetime: Duration) -> SocketAddr {
        let inner = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = inner.local_addr().unwrap();
        let bounded = BoundedListener { most, lifetime, ..BoundedListener::new(inner) };
        tokio::spawn(async move { axum::serve(bounded, Router::new().route("/", get(|| async { "here" }))).await });
        address
    }

    /// Returns once the server has closed the connection of a client that sends nothing.
    async fn let_go(client: &mut TcpStream) {
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }

    /// A client that sends nothing is disconnected after the lifetime of a connection.
    #[tokio::test]
    async fn idle_clients_are_let_go() {
        let address = serve(10, Duration::from_millis(200)).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), let_go(&mut idle)).await.unwrap();
    }

    /// However many clients idle, one more is served at once: the oldest makes room.
    #[tokio::test]
    async fn idle_clients_keep_nobody_waiting() {
        let address = serve(3, Duration::from_secs(3_600)).await;
        let mut idle = Vec::new();
        for _ in 0..20 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let served = async {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("here"), "{answer}");
            for client in &mut idle[..18] {
                let_go(client).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), served).await.unwrap();
    }
}
