//! The NATS client protocol: the operations that a server sends, parsed. Source: the NATS documentation, "Client Protocol".

use bytes::{Buf, Bytes, BytesMut};

use crate::incoming::Incoming;
use crate::server_info::ServerInfo;

/// The longest control line that is taken; the longest there is is the INFO of a large cluster.
const LINE_LIMIT: usize = 256 * 1024;
/// The largest message that is taken: the most that a server can be configured to.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// One operation that a server sends.
#[derive(Debug)]
pub(crate) enum Op {
    /// What the server says of itself; comes again when its cluster changes.
    Info(Box<ServerInfo>),
    /// A message to a subscription.
    Message(Incoming),
    /// Asks for a PONG.
    Ping,
    /// Answers a PING.
    Pong,
    /// An error, in the server's words.
    Error(String),
    /// The server has taken an operation; it sends this in verbose mode only.
    Ok,
}

/// Takes the next operation out of `input`; `None` while only a part of it has come.
pub(crate) fn next(input: &mut BytesMut) -> Result<Option<Op>, String> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() > LINE_LIMIT { Err("a line without end".into()) } else { Ok(None) };
    };
    let line = &input[..end];
    let word = line.iter().position(|byte| *byte == b' ' || *byte == b'\t').unwrap_or(end);
    let rest = &line[word..];
    let op = match &line[..word] {
        b"MSG" => return message(input, end, word, false),
        b"HMSG" => return message(input, end, word, true),
        b"INFO" => {
            let info =
                serde_json::from_slice(rest).map_err(|error| format!("an INFO that is not understood: {error}"))?;
            Op::Info(Box::new(info))
        }
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"+OK" => Op::Ok,
        b"-ERR" => Op::Error(String::from_utf8_lossy(rest).trim().trim_matches('\'').to_owned()),
        _ => return Err("something that is not the NATS protocol: is this the port of a NATS server?".into()),
    };
    input.advance(end + 2);
    Ok(Some(op))
}

/// `MSG subject sid [reply] total` or `HMSG subject sid [reply] headers total`, then the bytes and a line's end.
fn message(input: &mut BytesMut, end: usize, word: usize, with_headers: bool) -> Result<Option<Op>, String> {
    let wrong = || "a message line that is not understood".to_owned();
    // Where the arguments begin and end in the line.
    let mut arguments = [(0, 0); 6];
    let mut count = 0;
    let mut at = word;
    while at < end {
        let start = at + input[at..end].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let stop = start + input[start..end].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        if stop > start {
            *arguments.get_mut(count).ok_or_else(wrong)? = (start, stop);
            count += 1;
        }
        at = stop;
    }
    let lengths = 1 + usize::from(with_headers);
    let with_reply = match count.checked_sub(2 + lengths) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(wrong()),
    };
    let number = |(start, stop): (usize, usize)| -> Result<usize, String> {
        std::str::from_utf8(&input[start..stop]).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)
    };
    let total = number(arguments[count - 1])?;
    let headers = if with_headers { number(arguments[count - 2])? } else { 0 };
    if total > MESSAGE_LIMIT || headers > total {
        return Err(format!("a message of {total} bytes with {headers} of headers"));
    }
    let whole = end + 2 + total + 2;
    if input.len() < whole {
        input.reserve(whole - input.len());
        return Ok(None);
    }
    let line = input.split_to(end).freeze();
    input.advance(2);
    let header_block = input.split_to(headers).freeze();
    let payload = input.split_to(total - headers).freeze();
    input.advance(2);
    let argument = |(start, stop): (usize, usize)| line.slice(start..stop);
    let reply = if with_reply { argument(arguments[2]) } else { Bytes::new() };
    Ok(Some(Op::Message(Incoming { subject: argument(arguments[0]), reply, headers: header_block, payload })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations come out whole and in order, however the bytes are cut.
    #[test]
    fn operations_come_out_whole_however_cut() {
        let stream = b"INFO {\"version\":\"2.9.10\",\"max_payload\":1048576,\"connect_urls\":null}\r\nPING\r\n\
            MSG a.b 1 5\r\nhello\r\nHMSG a.b 1 reply.to 12 14\r\nNATS/1.0\r\n\r\nxy\r\n-ERR 'Stale Connection'\r\n+OK\r\n";
        for step in [1, 2, 3, 7, stream.len()] {
            let mut input = BytesMut::new();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                input.extend_from_slice(piece);
                while let Some(op) = next(&mut input).unwrap() {
                    seen.push(match op {
                        Op::Info(info) => format!("info {} {}", info.version, info.max_payload),
                        Op::Message(message) => format!(
                            "{:?} {:?} {} {:?}",
                            message.subject,
                            message.reply,
                            message.headers.len(),
                            message.payload
                        ),
                        other => format!("{other:?}"),
                    });
                }
            }
            assert!(input.is_empty());
            let expected = [
                "info 2.9.10 1048576",
                "Ping",
                "b\"a.b\" b\"\" 0 b\"hello\"",
                "b\"a.b\" b\"reply.to\" 12 b\"xy\"",
                "Error(\"Stale Connection\")",
                "Ok",
            ];
            assert_eq!(seen, expected, "in steps of {step}");
        }
    }

    /// What no server says is an error, never a panic and never a wait for ever.
    #[test]
    fn nonsense_is_an_error() {
        let long = vec![b'x'; LINE_LIMIT + 1];
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG\r\n",
            b"MSG a 1\r\n",
            b"MSG a 1 b c 5\r\n",
            b"MSG a 1 b c d e f 5\r\n",
            b"MSG a 1 -5\r\n",
            b"MSG a 1 99999999999\r\n",
            b"HMSG a 1 9 5\r\n",
            b"INFO nothing\r\n",
            &long,
        ] {
            assert!(next(&mut BytesMut::from(bytes)).is_err(), "{:?}", &bytes[..bytes.len().min(40)]);
        }
    }
}
