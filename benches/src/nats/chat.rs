//! A chat server for one reader: greets, confirms the JOIN, and sends the prepared lines when told to.

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::memory::server::answer;

/// The server.
pub(super) struct Server {
    /// Where it listens on this machine.
    pub(super) port: u16,
    /// Resolves when the reader has joined.
    pub(super) joined: oneshot::Receiver<()>,
    /// Lets the server send the lines.
    pub(super) talk: oneshot::Sender<()>,
}

/// Starts the server on a thread of its own, because it is the other side of the socket and not measured.
///
/// # Errors
/// Where it cannot listen.
pub(super) fn start(lines: Bytes) -> Result<Server> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("cannot listen")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let (tell, joined) = oneshot::channel();
    let (talk, may_talk) = oneshot::channel();
    std::thread::Builder::new().name("bench-chat".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // The server ends when the reader closes the connection.
        runtime.block_on(serve(listener, tell, may_talk, lines))
    })?;
    Ok(Server { port, joined, talk })
}

async fn serve(
    listener: std::net::TcpListener,
    tell: oneshot::Sender<()>,
    may_talk: oneshot::Receiver<()>,
    text: Bytes,
) -> Result<()> {
    let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut nick, mut channels) = (String::from("you"), Vec::new());
    while channels.is_empty() {
        let line = lines.next_line().await?.context("the reader has gone")?;
        writer.write_all(answer(&mut nick, &mut channels, line.trim_end()).as_bytes()).await?;
    }
    _ = tell.send(());
    if may_talk.await.is_ok() {
        writer.write_all(&text).await?;
    }
    while let Some(line) = lines.next_line().await? {
        writer.write_all(answer(&mut nick, &mut channels, line.trim_end()).as_bytes()).await?;
    }
    Ok(())
}
