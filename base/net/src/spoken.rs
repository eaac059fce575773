//! What a server speaks, told from how it answers: for an error that names it where another protocol was expected.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may be silent before it is asked what it speaks: those that answer at all mostly have by then.
pub const PATIENCE: Duration = Duration::from_millis(300);
/// How long a server has for a word of its own. Those that begin do so at once.
const GREETING: Duration = Duration::from_millis(300);
/// How long it has for each of the two answers.
const ANSWER: Duration = Duration::from_millis(500);

/// A protocol that is known by its first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spoken {
    /// HTTP, without TLS.
    Http,
    /// TLS, whatever is spoken in it.
    Tls,
    /// Redis, or a relative of it.
    Redis,
    /// NATS.
    Nats,
    /// SSH.
    Ssh,
    /// MySQL, or MariaDB.
    Mysql,
}

impl fmt::Display for Spoken {
    /// The server that speaks it, with its article.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Spoken::Http => "an HTTP server",
            Spoken::Tls => "a server with TLS",
            Spoken::Redis => "a Redis server",
            Spoken::Nats => "a NATS server",
            Spoken::Ssh => "an SSH server",
            Spoken::Mysql => "a MySQL server",
        })
    }
}

/// Asks the server what it speaks, on connections of its own: listens for a greeting, then sends `GET /`, then a TLS hello.
/// `None` where that cannot be told: nobody listens, or whoever does closes, says nothing, or something that is not known
/// here. Takes at most about two seconds. No secret is sent.
///
/// It is for a server that has never answered as it should; one that has is slow, and should not be asked this.
pub async fn spoken(host: &str, port: u16) -> Option<Spoken> {
    match without_tls(host, port).await {
        Some(found) => Some(found),
        None => with_tls(host, port).await,
    }
}

async fn without_tls(host: &str, port: u16) -> Option<Spoken> {
    let mut stream = connect(host, port).await?;
    let greeting = read(&mut stream, GREETING).await;
    if !greeting.is_empty() {
        return of_answer(&greeting);
    }
    // Of HTTP 1.0, which needs no `Host`: that word makes Redis log an attack.
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    of_answer(&read(&mut stream, ANSWER).await)
}

async fn with_tls(host: &str, port: u16) -> Option<Spoken> {
    let mut stream = connect(host, port).await?;
    stream.write_all(&hello(host)?).await.ok()?;
    of_answer(&read(&mut stream, ANSWER).await).filter(|found| *found == Spoken::Tls)
}

async fn connect(host: &str, port: u16) -> Option<TcpStream> {
    timeout(ANSWER, TcpStream::connect((host, port))).await.ok()?.ok()
}

/// What comes first, within this time; nothing where nothing comes.
async fn read(stream: &mut TcpStream, within: Duration) -> Vec<u8> {
    let mut answer = vec![0; 1024];
    let length = timeout(within, stream.read(&mut answer)).await;
    answer.truncate(length.ok().and_then(Result::ok).unwrap_or(0));
    answer
}

/// The first message of a TLS client. It trusts nobody: the handshake is never ended.
fn hello(host: &str) -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    Some(hello)
}

fn of_answer(answer: &[u8]) -> Option<Spoken> {
    let holds = |text: &[u8]| answer.windows(text.len()).any(|window| window == text);
    match answer {
        // What servers with TLS tell a browser that came without it.
        _ if answer.starts_with(b"HTTP/") && (holds(b"HTTPS") || holds(b"SSL-enabled")) => Some(Spoken::Tls),
        _ if answer.starts_with(b"HTTP/") || answer.starts_with(b"<!DOCTYPE") => Some(Spoken::Http),
        _ if answer.starts_with(b"INFO {") => Some(Spoken::Nats),
        _ if answer.starts_with(b"SSH-") => Some(Spoken::Ssh),
        // A handshake or an alert, of version 3.
        [0x15 | 0x16, 3, ..] => Some(Spoken::Tls),
        // An error's code in capitals.
        [b'-', b'A'..=b'Z', b'A'..=b'Z', ..] => Some(Spoken::Redis),
        // A packet's length, its number 0, the protocol's version 10.
        [_, _, 0, 0, 10, ..] => Some(Spoken::Mysql),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that says `greeting` at once, and `answer` to whatever it reads first.
    async fn server(greeting: &'static [u8], answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = peer.write_all(greeting).await;
                    let mut asked = [0; 512];
                    while matches!(peer.read(&mut asked).await, Ok(1..)) {
                        let _ = peer.write_all(answer).await;
                    }
                });
            }
        });
        port
    }

    /// Servers are known by what they say first, or answer to a browser.
    #[tokio::test]
    async fn servers_are_known_by_their_first_words() {
        for (greeting, answer, expected) in [
            (&b"INFO {\"server_id\":\"x\"}\r\n"[..], &b""[..], Some(Spoken::Nats)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", b"", Some(Spoken::Ssh)),
            (b"J\0\0\0\x0a8.0.36\0", b"", Some(Spoken::Mysql)),
            (b"", b"HTTP/1.1 404 Not Found\r\n\r\n", Some(Spoken::Http)),
            (
                b"",
                b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
                Some(Spoken::Tls),
            ),
            (b"", b"-ERR wrong number of arguments for 'get' command\r\n", Some(Spoken::Redis)),
            (b"", b"-NOAUTH Authentication required.\r\n", Some(Spoken::Redis)),
            (b"", b"\x15\x03\x01\x00\x02\x02\x46", Some(Spoken::Tls)),
            (b"220 mail ESMTP\r\n", b"", None),
        ] {
            let port = server(greeting, answer).await;
            assert_eq!(spoken("127.0.0.1", port).await, expected, "{greeting:?} {answer:?}");
        }
    }

    /// Who says nothing at all, and where nobody listens, is not known, and not for long.
    #[tokio::test]
    async fn the_silent_are_unknown() {
        let port = server(b"", b"").await;
        assert_eq!(timeout(Duration::from_secs(10), spoken("127.0.0.1", port)).await, Ok(None));
        assert_eq!(spoken("127.0.0.1", 1).await, None);
    }
}
