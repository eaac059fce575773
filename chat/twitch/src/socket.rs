//! Opening a socket: plain or TLS, IRC itself or WebSocket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::IrcUrl;
use crate::websocket::WebSocket;

/// For the name, for each address, and for the handshakes of TLS and WebSocket: each must be done within this.
const STEP_WITHIN: Duration = Duration::from_secs(5);
/// The most addresses of a name that are tried.
const ADDRESSES: usize = 4;

/// An open connection to the server.
#[derive(Debug)]
pub(crate) enum Socket {
    Bytes(Stream),
    Messages(Box<WebSocket<Stream>>),
}

/// The byte stream below IRC or WebSocket.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Opens one; the error says which step failed.
    pub(crate) async fn open(url: &IrcUrl, tls: Option<&TlsConnector>) -> Result<Socket, String> {
        let stream = Stream::open(url, tls).await?;
        if !url.is_websocket() {
            return Ok(Socket::Bytes(stream));
        }
        match timeout(STEP_WITHIN, WebSocket::open(url, stream)).await {
            Ok(opened) => Ok(Socket::Messages(Box::new(opened?))),
            Err(_) => Err(format!("WebSocket with {url} was not there within {STEP_WITHIN:?}")),
        }
    }

    /// Whether the server closed the WebSocket with the code for a broken policy. Plain IRC has no such code.
    pub(crate) fn broke_policy(&self) -> bool {
        matches!(self, Socket::Messages(messages) if messages.broke_policy())
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Bytes(stream) => stream.local_addr(),
            Socket::Messages(messages) => messages.get_ref().local_addr(),
        }
    }
}

impl Stream {
    async fn open(url: &IrcUrl, tls: Option<&TlsConnector>) -> Result<Stream, String> {
        let tcp = connect(url).await?;
        // Lines are small and PING is timed.
        tcp.set_nodelay(true).map_err(|error| format!("cannot set up the socket: {error}"))?;
        let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|_| format!("`{}` is no name that a certificate can be for", url.host()))?;
        match timeout(STEP_WITHIN, tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                // What is no TLS at all is told as a corrupt message.
                let plain = error.to_string().contains("corrupt message");
                let remedy = if plain { "; it speaks no TLS there: write irc://, or ws://" } else { "" };
                Err(format!("TLS with {url} failed: {error}{remedy}"))
            }
            Err(_) => Err(format!(
                "TLS with {url} was not there within {STEP_WITHIN:?}; it may speak no TLS there: then write irc://, or ws://"
            )),
        }
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Plain(tcp) => tcp.local_addr().ok(),
            Stream::Tls(tls) => tls.get_ref().0.local_addr().ok(),
        }
    }
}

async fn connect(url: &IrcUrl) -> Result<TcpStream, String> {
    let addresses = match timeout(STEP_WITHIN, lookup_host((url.host(), url.port()))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(format!("cannot find {}: {error}", url.host())),
        Err(_) => return Err(format!("cannot find {}: no answer within {STEP_WITHIN:?}", url.host())),
    };
    let mut last = format!("{} has no address", url.host());
    for address in addresses.take(ADDRESSES) {
        match timeout(STEP_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = format!("cannot connect to {address}: {error}"),
            Err(_) => last = format!("cannot connect to {address}: no answer within {STEP_WITHIN:?}"),
        }
    }
    Err(last)
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Bytes(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Messages(messages) => Pin::new(messages).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Bytes(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Messages(messages) => Pin::new(messages).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Bytes(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Messages(messages) => Pin::new(messages).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Bytes(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Messages(messages) => Pin::new(messages).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
