//! A TLS server that greets, confirms each JOIN, answers PING and is silent otherwise; on request it sends chat.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// The file of the certificate that clients have to trust, in the server's folder.
pub(crate) const CA_FILE: &str = "ca.pem";

/// Serves until the process is ended; writes the certificate into the folder, then prints the port.
///
/// # Errors
/// Where the server cannot be set up.
pub(crate) fn serve(folder: &Path) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .context("no certificate")?;
    fs::write(folder.join(CA_FILE), certified.cert.pem()).context("cannot write the certificate")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        println!("{}", listener.local_addr()?.port());
        let (tell, wanted) = watch::channel(0);
        // A line of input is the number of lines that each connection gets; the end of input ends the server.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                let count = line.trim().parse().unwrap_or(0);
                tell.send_replace(count);
            }
            std::process::exit(0);
        });
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept")?;
            let (acceptor, wanted) = (acceptor.clone(), wanted.clone());
            // A client that goes away ends its own task only.
            tokio::spawn(async move { talk(acceptor, stream, wanted).await });
        }
    })
}

/// Serves one client: answers its lines, and sends chat when the number of lines to send changes.
async fn talk(acceptor: TlsAcceptor, stream: TcpStream, mut wanted: watch::Receiver<u64>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = tokio::io::split(acceptor.accept(stream).await?);
    let mut lines = BufReader::with_capacity(1024, reader).lines();
    let (mut nick, mut channels) = (String::from("you"), Vec::new());
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let answer = answer(&mut nick, &mut channels, line.trim_end());
                if !answer.is_empty() {
                    writer.write_all(answer.as_bytes()).await?;
                    writer.flush().await?;
                }
            }
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let count = *wanted.borrow_and_update();
                chatter(&mut writer, &channels, count).await?;
            }
        }
    }
}

/// Sends this many chat lines, in turn to each channel of the connection.
async fn chatter(writer: &mut (impl AsyncWrite + Unpin), channels: &[String], count: u64) -> Result<()> {
    let mut text = String::new();
    for (number, channel) in (0..count).zip(channels.iter().cycle()) {
        _ = write!(
            text,
            "@badge-info=subscriber/12;badges=subscriber/12,premium/1;client-nonce=;color=#1E90FF;display-name=Somebody;emotes=;first-msg=0;\
             flags=;id={number:08x}-0000-4000-8000-000000000000;mod=0;returning-chatter=0;room-id=1;subscriber=1;tmi-sent-ts=1763744520007;\
             turbo=0;user-id=42;user-type= :somebody!somebody@somebody.tmi.twitch.tv PRIVMSG {channel} :hello, this is line number {number}\r\n"
        );
        if text.len() >= 16 * 1024 {
            writer.write_all(text.as_bytes()).await?;
            text.clear();
        }
    }
    writer.write_all(text.as_bytes()).await?;
    writer.flush().await?;
    Ok(())
}

/// The server's answer to one line.
pub(crate) fn answer(nick: &mut String, channels: &mut Vec<String>, line: &str) -> String {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut text = String::new();
    match command {
        "CAP" if rest.starts_with("REQ") => {
            let wanted = rest.split_once(':').map_or("", |(_, wanted)| wanted);
            _ = write!(text, ":tmi.twitch.tv CAP * ACK :{wanted}\r\n");
        }
        "NICK" => {
            rest.clone_into(nick);
            for (code, said) in [
                ("001", "Welcome, GLHF!"),
                ("002", "Your host is tmi.twitch.tv"),
                ("003", "This server is rather new"),
                ("004", "-"),
                ("375", "-"),
                ("372", "You are in a maze of twisty passages, all alike."),
                ("376", ">"),
            ] {
                _ = write!(text, ":tmi.twitch.tv {code} {nick} :{said}\r\n");
            }
        }
        "PING" => _ = write!(text, ":tmi.twitch.tv PONG tmi.twitch.tv {rest}\r\n"),
        "JOIN" => {
            for channel in rest.split(',') {
                channels.push(channel.to_owned());
                _ = write!(
                    text,
                    ":{nick}!{nick}@{nick}.tmi.twitch.tv JOIN {channel}\r\n\
                     :{nick}.tmi.twitch.tv 353 {nick} = {channel} :{nick}\r\n\
                     :{nick}.tmi.twitch.tv 366 {nick} {channel} :End of /NAMES list\r\n\
                     @emote-only=0;followers-only=-1;r9k=0;room-id=1;slow=0;subs-only=0 :tmi.twitch.tv ROOMSTATE {channel}\r\n"
                );
            }
        }
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each channel of a JOIN is confirmed under the nick that was given.
    #[test]
    fn every_joined_channel_is_confirmed() {
        let (mut nick, mut channels) = (String::new(), Vec::new());
        assert!(answer(&mut nick, &mut channels, "NICK ann").contains(" 001 ann "));
        let joined = answer(&mut nick, &mut channels, "JOIN #a,#b");
        assert_eq!(channels, ["#a", "#b"]);
        assert!(joined.contains("JOIN #a\r\n") && joined.contains("ROOMSTATE #b\r\n"));
    }
}
