//! The headers of a message: what a consumer needs to route, trace and fence it without reading the envelope.

use bytes::BytesMut;
use tenure_bus::{Followed, Message};
use tenure_core::Term;
use tenure_envelope::EnvelopeId;

use crate::protocol::Incoming;

/// Where all of this comes from.
const SOURCE: &str = "twitch";
/// The header that JetStream drops second messages by.
const MESSAGE_ID: &str = "Nats-Msg-Id";
const TERM: &str = "term";

/// Puts a whole publication of `message` into `out`: the HPUB line, headers and body. `scratch` is only for its use.
pub(crate) fn encode(
    out: &mut BytesMut,
    scratch: &mut String,
    subject: &str,
    reply: (&str, u64),
    message: &Message,
    term: Option<Term>,
) {
    scratch.clear();
    write_headers(scratch, message, term);
    let (inbox, number) = reply;
    let total = scratch.len() + message.body.len();
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new()];
    let [number_digits, header_digits, total_digits] = &mut digits;
    let (number, headers) = (number_digits.format(number), header_digits.format(scratch.len()));
    out.reserve(subject.len() + inbox.len() + total + 80);
    for part in ["HPUB ", subject, " ", inbox, number, " ", headers, " ", total_digits.format(total), "\r\n", scratch] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&message.body);
    out.extend_from_slice(b"\r\n");
}

/// How many bytes a message counts against the server's limit.
pub(crate) fn size(message: &Message, term: Option<Term>) -> usize {
    let mut headers = String::new();
    write_headers(&mut headers, message, term);
    headers.len() + message.body.len()
}

fn write_headers(out: &mut String, message: &Message, term: Option<Term>) {
    let id = uuid(&message.id);
    let id = std::str::from_utf8(&id).unwrap_or_default();
    for part in ["NATS/1.0\r\n", MESSAGE_ID, ": ", id, "\r\ntype: ", message.kind] {
        out.push_str(part);
    }
    for part in ["\r\nsource: ", SOURCE, "\r\ncorrelationId: ", id, "\r\ntraceparent: 00-"] {
        out.push_str(part);
    }
    // A trace id is the envelope's; the span that published it is named after the id's second half. Neither is zero.
    for part in [&id[..8], &id[9..13], &id[14..18], &id[19..23], &id[24..], "-", &id[19..23], &id[24..], "-01\r\n"] {
        out.push_str(part);
    }
    if !message.channel.is_empty() {
        out.push_str("channel: ");
        // A header's line must not be ended by what it holds.
        if message.channel.chars().any(char::is_control) {
            out.extend(message.channel.chars().map(|c| if c.is_control() { '?' } else { c }));
        } else {
            out.push_str(&message.channel);
        }
        out.push_str("\r\n");
    }
    if let Some(term) = term {
        for part in [TERM, ": ", itoa::Buffer::new().format(term.get()), "\r\n"] {
            out.push_str(part);
        }
    }
    out.push_str("\r\n");
}

/// The id with its hyphens.
fn uuid(id: &EnvelopeId) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in id.0.iter().enumerate() {
        at += usize::from(matches!(index, 4 | 6 | 8 | 10));
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// What was followed, where the message is one of this bus's: its id stands in its headers, or else in its body.
pub(crate) fn followed(pos: u64, message: Incoming) -> Option<Followed> {
    let id = header(&message.headers, MESSAGE_ID).and_then(parse_id).or_else(|| id_in(&message.payload))?;
    let term = number(&message.headers, TERM).and_then(Term::new);
    Some(Followed { pos, id, term, body: message.payload })
}

/// The number that a header holds, where it is there and holds one.
pub(crate) fn number(headers: &[u8], wanted: &str) -> Option<u64> {
    header(headers, wanted)?.parse().ok()
}

fn header<'a>(headers: &'a [u8], wanted: &str) -> Option<&'a str> {
    let fields = std::str::from_utf8(headers).ok()?.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

fn id_in(body: &[u8]) -> Option<EnvelopeId> {
    #[derive(serde::Deserialize)]
    struct Identified<'a> {
        id: std::borrow::Cow<'a, str>,
    }
    parse_id(&serde_json::from_slice::<Identified<'_>>(body).ok()?.id)
}

fn parse_id(text: &str) -> Option<EnvelopeId> {
    let mut id = [0; 16];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut id {
        let mut digit = || char::from(digits.next()?).to_digit(16);
        *byte = u8::try_from(digit()? << 4 | digit()?).ok()?;
    }
    (text.len() == 36 && digits.next().is_none()).then_some(EnvelopeId(id))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(channel: &str) -> Message {
        let id = EnvelopeId::derive(&[b"twitch:", b"x"]);
        Message { id, kind: "external.chat.message.v1", channel: channel.into(), body: Bytes::from_static(b"{}") }
    }

    /// What is written is one HPUB whose lengths are right, and reads back as the same id and term.
    #[test]
    fn what_is_encoded_reads_back() {
        let (mut out, mut scratch) = (BytesMut::new(), String::new());
        let sent = message("a\r\nb: c\u{1F600}");
        encode(&mut out, &mut scratch, "s", ("_INBOX.x.", 7), &sent, Term::new(42));
        let text = String::from_utf8(out.to_vec()).unwrap();
        let (line, rest) = text.split_once("\r\n").unwrap();
        let numbers: Vec<usize> = line.split(' ').skip(3).map(|number| number.parse().unwrap()).collect();
        let (headers, total) = (numbers[0], numbers[1]);
        assert_eq!((rest.len(), total), (total + 2, size(&sent, Term::new(42))));
        let (headers, payload) = (Bytes::from(rest[..headers].to_owned()), Bytes::from_static(b"{}"));
        assert!(headers.ends_with(b"\r\n\r\n"));
        let incoming = Incoming { subject: Bytes::new(), reply: Bytes::new(), headers, payload };
        let seen = followed(9, incoming).unwrap();
        assert_eq!((seen.pos, seen.id, seen.term), (9, sent.id, Term::new(42)));
        let hex = sent.id.to_string().replace('-', "");
        assert!(rest.contains(&format!("traceparent: 00-{hex}-{}-01\r\n", &hex[16..])));
        assert!(rest.contains("channel: a??b: c\u{1F600}\r\n") && rest.contains("source: twitch\r\n"));
    }

    /// A message of somebody else's is known by the id in its body, or not at all.
    #[test]
    fn foreign_messages_are_known_by_their_bodies() {
        let incoming = |body: String| Incoming {
            subject: Bytes::new(),
            reply: Bytes::new(),
            headers: Bytes::new(),
            payload: Bytes::from(body),
        };
        let id = EnvelopeId::derive(&[b"y"]);
        assert_eq!(followed(1, incoming(format!(r#"{{"v":"1","id":"{id}"}}"#))).unwrap().id, id);
        assert!(followed(1, incoming("hello".into())).is_none());
    }
}
