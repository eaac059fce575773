//! Chat over WebSocket: a client's messages are read as lines, and each write is one message.
//!
//! A client's message ends its last line whether or not a line end stands there, as on Twitch. A write goes out as
//! text; one that does not end a line is a fragment, which the next write continues. A line that is not UTF-8 may not
//! travel as text (RFC 6455, section 5.6), so it travels in a binary message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::outbox::Close;
use crate::transport::Transport;

/// The longest message that a client may send; one line has a lower limit of its own.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// The size of a connection's read buffer in bytes.
const READ_BUFFER: usize = 4 * 1024;

/// A stream of lines over a WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    frames: WebSocketStream<S>,
    /// The part of the last message that nobody has read yet.
    unread: Bytes,
    /// Whether the last write left its message open.
    fragmented: bool,
    close: CloseFrame,
    close_sent: bool,
}

impl<S: Transport> WebSocket<S> {
    /// Answers the handshake. Any path and any origin is accepted; the subprotocol `irc` is chosen where it is offered,
    /// because some clients close without it.
    pub(crate) async fn accept(stream: S) -> Result<Self, Error> {
        // Every frame goes to the socket when it is written, so that the ledger does not run ahead of the socket.
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let frames = accept_hdr_async_with_config(stream, TakeIrc, Some(config)).await?;
        let close = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        Ok(WebSocket { frames, unread: Bytes::new(), fragmented: false, close, close_sent: false })
    }
}

struct TakeIrc;

impl Callback for TakeIrc {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let mut offers = offers.iter().filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
        if offers.any(|offer| offer.trim() == "irc") {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("irc"));
        }
        Ok(response)
    }
}

impl<S: Transport> Transport for WebSocket<S> {
    const FRAMED: bool = true;

    fn tcp(&self) -> &TcpStream {
        self.frames.get_ref().tcp()
    }

    fn closing(&mut self, why: Close) {
        self.close = CloseFrame {
            code: match why {
                Close::Reconnect | Close::Shutdown => CloseCode::Away,
                Close::BadFrame => CloseCode::Protocol,
                Close::LineTooLong => CloseCode::Size,
                Close::LoginFailed | Close::JoinBudget | Close::AuthBudget => CloseCode::Policy,
                _ => CloseCode::Normal,
            },
            reason: Utf8Bytes::from(why.to_string()),
        };
    }
}

impl<S: Transport> AsyncRead for WebSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            this.unread = match ready!(Pin::new(&mut this.frames).poll_next(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                Some(Ok(Message::Text(text))) => whole_lines(text.into()),
                Some(Ok(Message::Binary(bytes))) => whole_lines(bytes),
                // The layer below answers pings, and a close ends the stream in the next iteration.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => continue,
            };
        }
        let taken = this.unread.split_to(this.unread.len().min(buf.remaining()));
        buf.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.frames).poll_ready(cx)).map_err(io_error)?;
        let ends = bytes.ends_with(b"\n");
        let data = match std::str::from_utf8(bytes) {
            _ if this.fragmented => Data::Continue,
            Ok(_) => Data::Text,
            // The write was cut within a character, whose rest follows.
            Err(error) if error.error_len().is_none() && !ends => Data::Text,
            Err(_) => Data::Binary,
        };
        this.fragmented = !ends;
        let frame = Frame::message(Bytes::copy_from_slice(bytes), OpCode::Data(data), ends);
        Pin::new(&mut this.frames).start_send(Message::Frame(frame)).map_err(io_error)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_flush(cx).map_err(io_error)
    }

    /// Sends the close frame; the reading side then waits for the client's.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.close_sent {
            ready!(Pin::new(&mut this.frames).poll_ready(cx)).map_err(io_error)?;
            this.close_sent = true;
            match Pin::new(&mut this.frames).start_send(Message::Close(Some(this.close.clone()))) {
                // The client closed first; the flush sends the answer.
                Ok(()) | Err(Error::Protocol(ProtocolError::SendAfterClosing)) => {}
                Err(error) => return Poll::Ready(Err(io_error(error))),
            }
        }
        Pin::new(&mut this.frames).poll_flush(cx).map_err(io_error)
    }
}

/// Adds the line end that the end of a message stands for.
fn whole_lines(message: Bytes) -> Bytes {
    if message.is_empty() || message.ends_with(b"\n") {
        return message;
    }
    let mut ended = Vec::with_capacity(message.len() + 2);
    ended.extend_from_slice(message.strip_suffix(b"\r").unwrap_or(&message));
    ended.extend_from_slice(b"\r\n");
    ended.into()
}

/// A protocol violation by the client is [`io::ErrorKind::InvalidData`], a message beyond the limit
/// [`io::ErrorKind::FileTooLarge`].
fn io_error(error: Error) -> io::Error {
    let kind = match &error {
        Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::ConnectionReset,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => io::ErrorKind::ConnectionReset,
        Error::Capacity(_) => io::ErrorKind::FileTooLarge,
        _ => io::ErrorKind::InvalidData,
    };
    match error {
        Error::Io(error) => error,
        error => io::Error::new(kind, error),
    }
}
