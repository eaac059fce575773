//! Chat over WebSocket: the payloads of all messages as one stream of bytes, each line written as one message.
//!
//! A message ends its last line whether or not a line end stands there, so that what a server sends without one is not
//! glued to what follows. Within a message there may be many lines; it may come in fragments, as text or as binary.
//! Pings are answered while the connection is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::http::header::LOCATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::IrcUrl;

/// The longest message that is taken; a longer one ends the connection. Lines have a much lower limit, and lines beyond
/// that are skipped, so this only has to be more than any server puts into one message.
const MESSAGE_LIMIT: usize = 2 * 1024 * 1024;
/// What a connection holds for reading, and about how much it gathers before it writes.
const BUFFER: usize = 8 * 1024;

/// An open WebSocket over a stream.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    frames: WebSocketStream<S>,
    /// What the last message brought and nobody has read yet.
    unread: Bytes,
    /// The last message has no line end of its own: one is to be given to whoever reads.
    unended: bool,
    /// The server has sent a close frame, or the stream has ended.
    over: bool,
    /// The close frame has the code for a broken policy.
    broke_policy: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Asks the server at the other end of the stream to speak WebSocket; the error says what it did instead.
    pub(crate) async fn open(url: &IrcUrl, stream: S) -> Result<Self, String> {
        let uri: Uri = url.to_string().parse().map_err(|error| format!("{url} cannot be asked for: {error}"))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        match client_async_with_config(uri, stream, Some(config)).await {
            Ok((frames, _)) => {
                Ok(WebSocket { frames, unread: Bytes::new(), unended: false, over: false, broke_policy: false })
            }
            Err(Error::Http(answer)) => {
                let to_tls = answer.headers().get(LOCATION).is_some_and(|to| to.as_bytes().starts_with(b"https:"));
                let hint = if to_tls && !url.is_tls() { ": it wants TLS, so use wss://" } else { "" };
                Err(format!("{url} answered {} and speaks no WebSocket there{hint}", answer.status()))
            }
            Err(error) => Err(format!("WebSocket with {url} failed: {error}")),
        }
    }

    /// The stream underneath.
    pub(crate) fn get_ref(&self) -> &S {
        self.frames.get_ref()
    }

    /// Whether the server has closed with the code for a policy that was broken (RFC 6455, section 7.4.1).
    pub(crate) fn broke_policy(&self) -> bool {
        self.broke_policy
    }

    /// A message has come, whole.
    fn begin(&mut self, message: Bytes) {
        self.unended = !message.is_empty() && !message.ends_with(b"\n");
        self.unread = message;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            if std::mem::take(&mut this.unended) {
                this.unread = Bytes::from_static(b"\n");
                break;
            }
            if this.over {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut this.frames).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => this.begin(text.into()),
                Some(Ok(Message::Binary(bytes))) => this.begin(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(goodbye))) => {
                    this.broke_policy = goodbye.is_some_and(|goodbye| goodbye.code == CloseCode::Policy);
                    // The answer is courtesy: it goes out if it can go at once.
                    let _ = Pin::new(&mut this.frames).poll_flush(cx);
                    this.over = true;
                }
                // A server that closes the socket without a word is no stranger thing than on a plain one.
                None | Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => this.over = true,
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let taken = this.unread.split_to(this.unread.len().min(buf.remaining()));
        buf.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    /// Takes one line, whole: callers write whole lines.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.frames).poll_ready(cx)).map_err(io_error)?;
        let length = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        // The end of the message is the end of the line.
        let line = bytes[..length].trim_ascii_end();
        let text = std::str::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Pin::new(&mut this.frames).start_send(Message::text(text)).map_err(io_error)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_flush(cx).map_err(io_error)
    }

    /// Says goodbye and does not wait for the answer.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
