//! A raw IRC client: it sends what it is told and hands out lines. Every wait has a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use tenure_twitch_sim::{Sim, SimConfig};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    pub(crate) port: u16,
    syncs: u32,
}

/// How a read ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).await.unwrap();
        let port = stream.local_addr().unwrap().port();
        Client::over(stream, port)
    }

    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, port: u16) -> Client {
        let (reader, writer) = tokio::io::split(stream);
        Client { reader: BufReader::new(Box::new(reader)), writer: Box::new(writer), port, syncs: 0 }
    }

    /// All capabilities and a welcome, as a reader without an account.
    pub(crate) async fn anonymous(sim: &Sim, number: u32) -> Client {
        let mut client = Client::connect(sim.addresses().irc).await;
        client.send("CAP REQ :twitch.tv/tags twitch.tv/commands").await;
        client.send(&format!("NICK justinfan{number}")).await;
        client.until(" 376 ").await;
        client
    }

    /// All capabilities and a welcome, as an account.
    pub(crate) async fn account(sim: &Sim, nick: &str) -> Client {
        let mut client = Client::connect(sim.addresses().irc).await;
        client.send("CAP REQ :twitch.tv/tags twitch.tv/commands").await;
        client.send("PASS oauth:token").await;
        client.send(&format!("NICK {nick}")).await;
        client.until(" GLOBALUSERSTATE").await;
        client
    }

    /// An anonymous reader in these rooms.
    pub(crate) async fn reader(sim: &Sim, number: u32, rooms: &[&str]) -> Client {
        let mut client = Client::anonymous(sim, number).await;
        client.join(rooms).await;
        client
    }

    pub(crate) async fn join(&mut self, rooms: &[&str]) {
        for room in rooms {
            self.send(&format!("JOIN #{room}")).await;
            self.until(&format!("ROOMSTATE #{room}")).await;
        }
    }

    pub(crate) async fn send(&mut self, line: &str) {
        timeout(DEADLINE, self.writer.write_all(format!("{line}\r\n").as_bytes())).await.unwrap().unwrap();
        timeout(DEADLINE, self.writer.flush()).await.unwrap().unwrap();
    }

    /// The next line without its end, or how the connection ended.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, End> {
        let mut line = Vec::new();
        let read = timeout(DEADLINE, self.reader.read_until(b'\n', &mut line)).await.expect("a line in time");
        match read {
            Ok(_) if line.ends_with(b"\r\n") => {
                line.truncate(line.len() - 2);
                Ok(line)
            }
            Ok(_) => Err(End::Fin),
            Err(_) => Err(End::Reset),
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        String::from_utf8_lossy(&self.next().await.expect("an open connection")).into_owned()
    }

    /// Everything up to the first line that contains this, which is the last one given.
    pub(crate) async fn until(&mut self, part: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().await);
            if lines[lines.len() - 1].contains(part) {
                return lines;
            }
        }
    }

    /// All that the server had to say so far: what comes before the answer to a PING sent now.
    pub(crate) async fn sync(&mut self) -> Vec<String> {
        self.syncs += 1;
        let mark = format!("sync-{}", self.syncs);
        self.send(&format!("PING :{mark}")).await;
        let mut lines = self.until(&format!("PONG tmi.twitch.tv :{mark}")).await;
        lines.pop();
        lines
    }

    /// Reads to the end of the connection.
    pub(crate) async fn rest(&mut self) -> (Vec<Vec<u8>>, End) {
        let mut lines = Vec::new();
        loop {
            match self.next().await {
                Ok(line) => lines.push(line),
                Err(end) => return (lines, end),
            }
        }
    }

    /// Whether the server stays silent for so long, with the connection open.
    pub(crate) async fn silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.reader.read_u8()).await.is_err()
    }
}

/// A simulator with one room, `room`, and no chat of its own.
pub(crate) fn quiet() -> SimConfig {
    SimConfig { channels: vec!["room".into()], http_listen: None, ..SimConfig::default() }
}

/// A simulator with one room, `room`, and so much chat a second.
pub(crate) fn chatty(rate: f64) -> SimConfig {
    SimConfig { rate, ..quiet() }
}

/// Waits until this holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}
