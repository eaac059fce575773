//! The headers of a message: what a consumer needs to route, trace and fence it without reading the envelope.

use tenure_base_nats::{Headers, Incoming, MESSAGE_ID};
use tenure_bus::{Followed, Message};
use tenure_core::Term;
use tenure_envelope::EnvelopeId;

/// The platform that every message of this bus comes from.
const SOURCE: &str = "twitch";
const TERM: &str = "term";

/// Replaces the content of `headers` by the headers of `message`.
pub(crate) fn write(headers: &mut Headers, message: &Message, term: Option<Term>) {
    let id = uuid(&message.id);
    let id = std::str::from_utf8(&id).unwrap_or_default();
    headers.clear();
    headers.push(MESSAGE_ID, &[id]);
    headers.push("type", &[message.kind]);
    headers.push("source", &[SOURCE]);
    headers.push("correlationId", &[id]);
    // The trace id is the envelope's. The span that published the message is named after the id's second half. Neither
    // is zero.
    let trace = [&id[..8], &id[9..13], &id[14..18], &id[19..23], &id[24..]];
    headers.push(
        "traceparent",
        &["00-", trace[0], trace[1], trace[2], trace[3], trace[4], "-", trace[3], trace[4], "-01"],
    );
    if !message.channel.is_empty() {
        headers.push("channel", &[&message.channel]);
    }
    if let Some(term) = term {
        headers.push(TERM, &[itoa::Buffer::new().format(term.get())]);
    }
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

/// A message of the stream as a follower gets it: its id is in its headers, or else in its body. `None` where it is in
/// neither, because another program has published the message.
pub(crate) fn followed(pos: u64, message: Incoming) -> Option<Followed> {
    let id = message.header(MESSAGE_ID).and_then(parse_id).or_else(|| id_in(&message.payload))?;
    let term = message.header(TERM).and_then(|term| term.parse().ok()).and_then(Term::new);
    Some(Followed { pos, id, term, body: message.payload })
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

    fn incoming(headers: String, body: &str) -> Incoming {
        let (headers, payload) = (Bytes::from(headers), Bytes::copy_from_slice(body.as_bytes()));
        Incoming { subject: Bytes::new(), reply: Bytes::new(), headers, payload }
    }

    /// The id and the term of written headers read back unchanged, and a channel's name cannot end its header line.
    #[test]
    fn what_is_written_reads_back() {
        let sent = message("a\r\nb: c\u{1F600}");
        let mut headers = Headers::new();
        headers.push("of the message before", &["x"]);
        write(&mut headers, &sent, Term::new(42));
        let text = headers.to_string();
        let incoming = incoming(text.clone(), "{}");
        let seen = followed(9, incoming).unwrap();
        assert_eq!((seen.pos, seen.id, seen.term), (9, sent.id, Term::new(42)));
        let hex = sent.id.to_string().replace('-', "");
        assert!(text.contains(&format!("traceparent: 00-{hex}-{}-01\r\n", &hex[16..])));
        assert!(text.contains("channel: a??b: c\u{1F600}\r\n") && text.contains("source: twitch\r\n"));
        assert!(!text.contains("before") && text.ends_with("\r\n\r\n") && text.len() == headers.size());
    }

    /// A message of somebody else's is known by the id in its body, or not at all.
    #[test]
    fn foreign_messages_are_known_by_their_bodies() {
        let id = EnvelopeId::derive(&[b"y"]);
        assert_eq!(followed(1, incoming(String::new(), &format!(r#"{{"v":"1","id":"{id}"}}"#))).unwrap().id, id);
        assert!(followed(1, incoming(String::new(), "hello")).is_none());
    }
}
