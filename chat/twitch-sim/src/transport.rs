//! What a connection runs over: a TCP socket, TLS, or a WebSocket over one of them.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::outbox::Close;

/// A stream of lines with a TCP socket underneath: the socket itself, TLS, or a WebSocket over one of them.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether each write is a message or a part of one; lines that are not UTF-8 must then be written alone and whole.
    const FRAMED: bool = false;

    fn tcp(&self) -> &TcpStream;

    /// Sets the reason of the next shutdown, for transports that can send one.
    fn closing(&mut self, _why: Close) {}
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
