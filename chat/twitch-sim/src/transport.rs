//! What a connection runs over: a TCP socket, TLS, or a WebSocket over one of them.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::outbox::Close;

/// A stream of lines with a TCP socket underneath: the socket itself, TLS, or a WebSocket over one of them.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Each write is a message or a part of one, and lines that are not UTF-8 must be written alone and whole.
    const FRAMED: bool = false;

    fn tcp(&self) -> &TcpStream;

    /// The next shutdown has this reason, for those that can tell it.
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
