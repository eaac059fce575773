//! WebSocket: what goes over the wire, frame by frame, with a client that knows no library.

use std::time::Duration;

use tenure_twitch_sim::{Cut, Fault, OddLine, Select, Sim, SimConfig, Split, StartRule};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{DEADLINE, End, chatty, eventually, quiet};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One frame as it came.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    fin: bool,
    opcode: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// The code of a goodbye.
    fn code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }
}

struct Raw {
    stream: TcpStream,
    /// The answer to the handshake.
    answer: String,
    port: u16,
}

impl Raw {
    async fn connect(sim: &Sim, offer: Option<&str>) -> Raw {
        let mut stream = TcpStream::connect(sim.addresses().ws.unwrap()).await.unwrap();
        let port = stream.local_addr().unwrap().port();
        let answer = shake_hands(&mut stream, offer).await;
        Raw { stream, answer, port }
    }

    /// Logged in, in the room.
    async fn reader(sim: &Sim) -> Raw {
        let mut client = Raw::connect(sim, None).await;
        client.send("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan1\r\nJOIN #room").await;
        client.until("ROOMSTATE #room").await;
        client
    }

    async fn send(&mut self, text: &str) {
        self.send_frame(true, TEXT, text.as_bytes()).await;
    }

    /// Masked with zeros, which is a mask too.
    async fn send_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        let mut bytes = vec![u8::from(fin) << 7 | opcode];
        match payload.len() {
            0..126 => bytes.push(0x80 | payload.len() as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        self.send_bytes(&bytes).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next frame, or how the connection ended.
    async fn frame(&mut self) -> Result<Frame, End> {
        timeout(DEADLINE, self.try_frame()).await.expect("a frame in time").map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => End::Fin,
            _ => End::Reset,
        })
    }

    async fn try_frame(&mut self) -> std::io::Result<Frame> {
        let first = self.stream.read_u8().await?;
        let second = self.stream.read_u8().await?;
        assert_eq!(first & 0x70, 0, "no reserved bits");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let length = match second {
            126 => usize::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await? as usize,
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { fin: first & 0x80 != 0, opcode: first & 0x0F, payload })
    }

    /// All frames up to the first that contains this.
    async fn until(&mut self, part: &str) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.frame().await.expect("an open connection"));
            if String::from_utf8_lossy(&frames[frames.len() - 1].payload).contains(part) {
                return frames;
            }
        }
    }
}

/// Asks with the nonce of RFC 6455, whose answer that text gives.
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, offer: Option<&str>) -> String {
    let offer = offer.map(|offer| format!("Sec-WebSocket-Protocol: {offer}\r\n")).unwrap_or_default();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// The handshake is answered as the RFC says, and the subprotocol of older clients is taken.
#[tokio::test]
async fn the_handshake_is_answered() {
    let sim = Sim::start(quiet()).await.unwrap();
    let plain = Raw::connect(&sim, None).await;
    assert!(plain.answer.starts_with("HTTP/1.1 101 "), "{}", plain.answer);
    assert!(plain.answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{}", plain.answer);
    assert!(!plain.answer.to_ascii_lowercase().contains("sec-websocket-protocol"), "{}", plain.answer);
    let named = Raw::connect(&sim, Some("chat, irc")).await;
    assert!(named.answer.to_ascii_lowercase().contains("sec-websocket-protocol: irc\r\n"), "{}", named.answer);
    let mut stranger = TcpStream::connect(sim.addresses().ws.unwrap()).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, stranger.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 101"));
    eventually("it counts as failed", || sim.stats().ws_failed == 1).await;
    assert_eq!(sim.stats().connections.len(), 2);
    assert_eq!(sim.stats().connections[0].transport, "ws");
}

/// The welcome is one text message of several lines, each with its CR LF, and so is what follows; the client's lines
/// count with and without a line end, one or several to a message, in fragments and as binary.
#[tokio::test]
async fn messages_carry_lines() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Raw::connect(&sim, None).await;
    client.send("CAP REQ :twitch.tv/tags twitch.tv/commands").await;
    client.send("PASS SCHMOOPIIE").await;
    client.send("NICK justinfan1").await;
    let welcome = client.until(" 376 ").await.pop().unwrap();
    assert!(welcome.fin && welcome.opcode == TEXT);
    let lines: Vec<_> = welcome.text().split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(welcome.text().ends_with("\r\n"));
    client.send_frame(false, TEXT, b"PING :a\r\nPI").await;
    client.send_frame(true, PING, b"still there?").await;
    client.send_frame(true, CONTINUATION, b"NG :b").await;
    client.send_frame(true, BINARY, b"PING :c\n").await;
    client.send_frame(true, TEXT, b"PING :d\r").await;
    assert_eq!(client.frame().await.unwrap(), Frame { fin: true, opcode: PONG, payload: b"still there?".to_vec() });
    let mut said = String::new();
    while !said.contains(":d") {
        said.push_str(client.frame().await.unwrap().text());
    }
    let pong = |text: &str| format!(":tmi.twitch.tv PONG tmi.twitch.tv :{text}\r\n");
    assert_eq!(said, pong("a") + &pong("b") + &pong("c") + &pong("d"));
}

/// The ledger is as exact as over TCP: what was written is what arrived, in order.
#[tokio::test]
async fn the_ledger_says_what_arrived() {
    let config = SimConfig { limit: Some(500), start: StartRule::WhenClients(1), ..chatty(5_000.0) };
    let sim = Sim::start(config).await.unwrap();
    let mut client = Raw::connect(&sim, None).await;
    client.send("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan1\r\nJOIN #room").await;
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        loop {
            match client.frame().await.unwrap() {
                Frame { opcode: TEXT, fin: true, payload } => all.extend_from_slice(&payload),
                end => {
                    assert_eq!(end.code(), 1001);
                    client.send_frame(true, CLOSE, &end.payload).await;
                    assert_eq!(client.frame().await, Err(End::Fin));
                    return all;
                }
            }
        }
    });
    sim.chat_over().await;
    assert!(sim.drained(DEADLINE).await);
    let ledger = sim.shutdown().await;
    let all = reading.await.unwrap();
    let chat = all.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut chat = chat.skip_while(|line| !line.windows(10).any(|part| part == b" ROOMSTATE")).skip(1);
    assert_eq!(ledger.connections()[0].written.len(), 500);
    for number in &ledger.connections()[0].written {
        assert_eq!(chat.next().unwrap(), &ledger.lines()[*number as usize].raw[..]);
    }
    assert_eq!(ledger.connections()[0].flushed, 500);
}

/// A split line is one message in fragments, cut at ever other offsets, and whole when put together.
#[tokio::test]
async fn split_lines_are_fragments() {
    for how in [Split::Walking, Split::Pieces(37)] {
        let config = SimConfig { limit: Some(30), start: StartRule::WhenClients(1), ..chatty(500.0) };
        let sim = Sim::start(config).await.unwrap();
        sim.fault(Fault::Split { select: Select::All, how, pause_ms: 0, for_ms: None }).unwrap();
        let mut client = Raw::connect(&sim, None).await;
        client.send("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan1\r\nJOIN #room").await;
        let end = tokio::spawn(async move {
            sim.chat_over().await;
            assert!(sim.drained(DEADLINE).await);
            sim.shutdown().await
        });
        let (mut messages, mut open, mut firsts) = (Vec::new(), Vec::new(), std::collections::HashSet::new());
        loop {
            let frame = client.frame().await.unwrap();
            if frame.opcode == CLOSE {
                break;
            }
            assert_eq!(frame.opcode, if open.is_empty() { TEXT } else { CONTINUATION });
            if open.is_empty() && !frame.fin {
                firsts.insert(frame.payload.len());
            }
            open.extend_from_slice(&frame.payload);
            if frame.fin {
                assert!(open.ends_with(b"\r\n"));
                messages.push(std::mem::take(&mut open));
            }
        }
        drop(client);
        let ledger = end.await.unwrap();
        let chat = &messages[messages.len() - 30..];
        for (line, message) in ledger.lines().iter().zip(chat) {
            assert_eq!(message.strip_suffix(b"\r\n").unwrap(), &line.raw[..], "{how:?}");
        }
        assert!(firsts.len() >= if how == Split::Walking { 20 } else { 1 }, "{how:?}: {firsts:?}");
    }
}

/// A line that is not UTF-8 comes alone in a binary message, split or not; all other odd lines are text.
#[tokio::test]
async fn what_is_not_text_is_binary() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Raw::reader(&sim).await;
    for split in [false, true] {
        if split {
            let how = Split::Pieces(10);
            sim.fault(Fault::Split { select: Select::All, how, pause_ms: 0, for_ms: None }).unwrap();
        }
        sim.fault(Fault::Odd { channel: "room".into(), line: OddLine::InvalidUtf8 }).unwrap();
        let frame = client.frame().await.unwrap();
        assert!(frame.fin && frame.opcode == BINARY, "{frame:?}");
        let ledger = sim.ledger();
        assert_eq!(frame.payload.strip_suffix(b"\r\n").unwrap(), &ledger.lines().last().unwrap().raw[..]);
    }
    sim.fault(Fault::Heal { select: Select::All }).unwrap();
    for line in [OddLine::OverLong(100_000), OddLine::Nul, OddLine::UnknownTag] {
        sim.fault(Fault::Odd { channel: "room".into(), line }).unwrap();
        let frame = client.frame().await.unwrap();
        assert!(frame.fin && frame.opcode == TEXT);
        assert_eq!(frame.payload.strip_suffix(b"\r\n").unwrap(), &sim.ledger().lines().last().unwrap().raw[..]);
    }
}

/// RECONNECT comes as a line; after the grace the server says goodbye in a close frame, and closes.
#[tokio::test]
async fn reconnect_ends_in_a_close_frame() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Raw::reader(&sim).await;
    sim.fault(Fault::Reconnect { select: Select::All, grace_ms: 50 }).unwrap();
    assert_eq!(client.frame().await.unwrap().text(), ":tmi.twitch.tv RECONNECT\r\n");
    let goodbye = client.frame().await.unwrap();
    assert_eq!((goodbye.code(), &goodbye.payload[2..]), (1001, &b"reconnect"[..]));
    client.send_frame(true, CLOSE, &goodbye.payload).await;
    assert_eq!(client.frame().await, Err(End::Fin));
}

/// A refused login is told in a line, then in a close frame.
#[tokio::test]
async fn a_refused_login_is_told() {
    let sim = Sim::start(SimConfig { bad_tokens: vec!["wrong".into()], ..quiet() }).await.unwrap();
    let mut client = Raw::connect(&sim, Some("irc")).await;
    client.send("PASS oauth:wrong").await;
    client.send("NICK somebody").await;
    assert_eq!(client.frame().await.unwrap().text(), ":tmi.twitch.tv NOTICE * :Login authentication failed\r\n");
    assert_eq!(client.frame().await.unwrap().code(), 1008);
    eventually("it ended", || sim.stats().connections[0].close_reason.as_deref() == Some("login_failed")).await;
}

/// Cut, half-open and stalled connections look as over TCP: a reset without a goodbye, silence, and silence in which
/// pings are answered.
#[tokio::test]
async fn connection_faults_reach_through() {
    let sim = Sim::start(chatty(200.0)).await.unwrap();
    let mut cut = Raw::reader(&sim).await;
    sim.fault(Fault::Cut { select: Select::Port(cut.port), how: Cut::Rst }).unwrap();
    let end = loop {
        match cut.frame().await {
            Ok(frame) => assert_ne!(frame.opcode, CLOSE),
            Err(end) => break end,
        }
    };
    assert_eq!(end, End::Reset);

    let mut stalled = Raw::reader(&sim).await;
    sim.fault(Fault::Stall { select: Select::Port(stalled.port), for_ms: None }).unwrap();
    stalled.send("PING :1").await;
    stalled.until("PONG tmi.twitch.tv :1").await;
    stalled.send("PING :2").await;
    assert_eq!(stalled.until("PONG tmi.twitch.tv :2").await.len(), 1, "no chat between the two");

    let mut frozen = Raw::reader(&sim).await;
    sim.fault(Fault::HalfOpen { select: Select::Port(frozen.port), for_ms: None }).unwrap();
    let silent = async {
        loop {
            // What was under way still comes; then nothing does, not even to a ping.
            if timeout(Duration::from_millis(300), frozen.frame()).await.is_err() {
                return;
            }
        }
    };
    timeout(DEADLINE, silent).await.expect("it falls silent");
    frozen.send_frame(true, PING, b"?").await;
    assert!(timeout(Duration::from_millis(300), frozen.try_frame()).await.is_err());
}

/// With TLS underneath the handshake is the same, and `/stats` tells the two apart.
#[tokio::test]
async fn it_goes_over_tls_too() {
    let sim = Sim::start(SimConfig { wss_listen: Some("127.0.0.1:0".parse().unwrap()), ..quiet() }).await.unwrap();
    assert_eq!(sim.addresses().ircs, None);
    let tcp = TcpStream::connect(sim.addresses().wss.unwrap()).await.unwrap();
    let tls = crate::tls::connector(sim.ca_pem().unwrap());
    let mut stream = tls.connect("irc-ws.chat.twitch.tv".try_into().unwrap(), tcp).await.unwrap();
    assert!(shake_hands(&mut stream, Some("irc")).await.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    eventually("it is known", || sim.stats().connections.iter().any(|client| client.transport == "wss")).await;
}

/// What a client may not send ends its connection, with the code that says why.
#[tokio::test]
async fn bad_frames_end_the_connection() {
    let sim = Sim::start(quiet()).await.unwrap();
    let unmasked: &[u8] = &[0x81, 0x02, b'h', b'i'];
    let not_utf8: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, 0xFF];
    for (bytes, code, reason) in [(unmasked, 1002, "bad_frame"), (not_utf8, 1002, "bad_frame")] {
        let mut client = Raw::reader(&sim).await;
        client.send_bytes(bytes).await;
        assert_eq!(client.frame().await.unwrap().code(), code);
        ended(&sim, &client, reason).await;
    }
    for length in [20_000, 70_000] {
        let mut client = Raw::reader(&sim).await;
        client.send(&"x".repeat(length)).await;
        ended(&sim, &client, "line_too_long").await;
    }
}

async fn ended(sim: &Sim, client: &Raw, reason: &str) {
    let is = |stats: &tenure_twitch_sim::ConnectionStats| {
        stats.peer.ends_with(&format!(":{}", client.port)) && stats.close_reason.as_deref() == Some(reason)
    };
    eventually(reason, || sim.stats().connections.iter().any(is)).await;
}
