//! Publishing: messages go out in one bounded window, and each is answered by its acknowledgement.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use serde::Deserialize;
use tenure_bus::{Batch, Published, Refusal};
use tokio::time::{Instant, sleep_until};

use crate::api::{self, ApiError};
use crate::connection::{Connection, reply_number, status};
use crate::failure::{Failure, FailureKind};
use crate::headers;
use crate::protocol::Incoming;

/// How many messages may be without an answer. More buys no speed: the server is the limit then.
pub(crate) const WINDOW: usize = 256;
/// How many bytes are put together before they are written.
const CHUNK: usize = 64 * 1024;

/// Whose acknowledgements count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledger<'a> {
    /// The stream that covers the subject, where that was looked for.
    pub(crate) stream: Option<&'a str>,
    /// The stream's domain, where it is not the server's own.
    pub(crate) domain: Option<&'a str>,
}

/// A batch, and what of it is answered.
pub(crate) struct Job<'a> {
    batch: &'a Batch<'a>,
    answers: Vec<Option<Result<Published, Refusal>>>,
    unanswered: usize,
}

impl<'a> Job<'a> {
    pub(crate) fn new(batch: &'a Batch<'a>) -> Job<'a> {
        let count = batch.messages.len();
        Job { batch, answers: vec![None; count], unanswered: count }
    }

    /// The answers, once all are there.
    pub(crate) fn into_answers(self) -> Vec<Result<Published, Refusal>> {
        self.answers.into_iter().flatten().collect()
    }

    /// How many messages have no answer yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Publishes what is unanswered over this connection, and waits for the answers of `by`: until `deadline`, and never
    /// longer than `silence` without any. After a failure that [`Failure::is_passing`] what is still unanswered may be tried
    /// again; what was stored meanwhile is then answered as a duplicate.
    pub(crate) async fn run(
        &mut self,
        connection: &mut Connection,
        by: Acknowledger<'_>,
        deadline: Instant,
        silence: Duration,
    ) -> Result<(), Failure> {
        self.reject_the_too_large(connection.info.max_payload);
        let first = connection.next_reply;
        connection.next_reply += self.batch.messages.len() as u64;
        let mut sending = Sending { next: 0, in_flight: 0, refused: None, stranger: None, scratch: String::new() };
        let mut heard = Instant::now();
        let mut asked: Option<Instant> = None;
        let mut alarm = pin!(sleep_until(deadline.min(heard + silence / 2)));
        loop {
            while let Some(message) = connection.take_message()? {
                if self.take(&message, by, first, &mut sending) {
                    heard = Instant::now();
                }
            }
            self.fill(connection, first, &mut sending);
            if sending.in_flight == 0 && connection.is_flushed() {
                return match sending.refused {
                    Some(failure) => Err(failure),
                    None => Ok(()),
                };
            }
            let moved = poll_fn(|cx| {
                if let Poll::Ready(result) = connection.poll_io(cx) {
                    return Poll::Ready(result.map(|()| true));
                }
                alarm.as_mut().poll(cx).map(|()| Ok(false))
            });
            if moved.await? {
                continue;
            }
            let now = Instant::now();
            if now >= deadline.min(heard + silence) {
                // A server that is there keeps its place; a silent one is left.
                let there = asked.is_some_and(|asked| connection.last_pong >= asked) && connection.is_flushed();
                if there && let Some(stranger) = sending.stranger {
                    return Err(stranger);
                }
                let kind = if there { FailureKind::Unacknowledged } else { FailureKind::Connection };
                let (count, server) = (sending.in_flight, connection.server());
                return Err(Failure::new(kind, format!("{server}: {count} messages are not acknowledged in time")));
            }
            let half = heard + silence / 2;
            if now >= half && asked.is_none_or(|asked| asked < heard) {
                connection.ping();
                asked = Some(now);
            }
            alarm.as_mut().reset(deadline.min(if half > now { half } else { heard + silence }));
        }
    }

    /// A message that the server's limit forbids would end the connection, and with it the others.
    fn reject_the_too_large(&mut self, limit: usize) {
        let term = self.batch.fence.map(|(_, term)| term);
        for (message, answer) in self.batch.messages.iter().zip(&mut self.answers) {
            // Headers are a few hundred bytes and the channel's name; most messages are nowhere near.
            let near = message.body.len() + message.channel.len() * 4 + 1024 > limit;
            if answer.is_none() && near && limit > 0 {
                let size = headers::size(message, term);
                if size > limit {
                    let why = format!(
                        "the message has {size} bytes with its headers, the server takes {limit} (max_payload)"
                    );
                    *answer = Some(Err(Refusal::Rejected(why)));
                    self.unanswered -= 1;
                }
            }
        }
    }

    /// Puts messages into the connection's buffer, as far as window and chunk allow.
    fn fill(&mut self, connection: &mut Connection, first: u64, sending: &mut Sending) {
        let term = self.batch.fence.map(|(_, term)| term);
        while sending.refused.is_none() && sending.in_flight < WINDOW && connection.output.len() < CHUNK {
            let index = sending.next;
            let Some(message) = self.batch.messages.get(index) else { return };
            sending.next += 1;
            if self.answers[index].is_none() {
                sending.in_flight += 1;
                let reply = (connection.inbox.as_str(), first + index as u64);
                let out = &mut connection.output;
                headers::encode(out, &mut sending.scratch, self.batch.subject, reply, message, term);
            }
        }
    }

    /// Takes an acknowledgement in; false where the message is none of this run's.
    fn take(&mut self, message: &Incoming, by: Acknowledger<'_>, first: u64, sending: &mut Sending) -> bool {
        let index = reply_number(&message.subject).and_then(|number| usize::try_from(number.checked_sub(first)?).ok());
        let Some((index, answer)) = index.and_then(|index| Some((index, self.answers.get_mut(index)?))) else {
            return false;
        };
        if index >= sending.next || answer.is_some() {
            return false;
        }
        let read = match read(message, self.batch.subject, by) {
            // Somebody else who answers on the subject: the stream's own word is waited for.
            Err(failure) if matches!(failure.kind, FailureKind::Connection | FailureKind::Displaced) => {
                tracing::debug!(component = "publisher", subject = self.batch.subject, %failure, "who else answers there?");
                if failure.kind == FailureKind::Displaced {
                    sending.stranger = Some(failure);
                }
                return false;
            }
            read => read,
        };
        sending.in_flight = sending.in_flight.saturating_sub(1);
        match read {
            Ok(answered) => {
                *answer = Some(answered);
                self.unanswered -= 1;
            }
            // The worst is told: what lasts before what may pass.
            Err(failure) => {
                if sending.refused.as_ref().is_none_or(Failure::is_passing) {
                    sending.refused = Some(failure);
                }
            }
        }
        true
    }
}

/// How far one run is.
struct Sending {
    next: usize,
    in_flight: usize,
    /// Why nothing more is sent in this run; what is on its way is waited for.
    refused: Option<Failure>,
    /// Another stream than the right one has answered.
    stranger: Option<Failure>,
    scratch: String,
}

/// What an acknowledgement says. Nothing is there that has no position: a leader of 2.10 answers at once for an id that it
/// has met, with `duplicate` and position 0, while its peers are out of reach and also after they have gone on without it.
fn read(message: &Incoming, subject: &str, by: Acknowledger<'_>) -> Result<Result<Published, Refusal>, Failure> {
    #[derive(Deserialize)]
    struct Ack<'a> {
        #[serde(default, borrow)]
        stream: Cow<'a, str>,
        #[serde(default, borrow)]
        domain: Cow<'a, str>,
        #[serde(default)]
        seq: u64,
        #[serde(default)]
        duplicate: bool,
        error: Option<ApiError>,
    }
    if status(&message.headers) == Some(503) {
        let what = format!("no stream answers for {subject}: it is gone, or has no leader now");
        return Err(Failure::new(FailureKind::NoResponders, what));
    }
    let no_acknowledgement = |why: &str| Failure::connection(format!("an answer that is no acknowledgement: {why}"));
    let ack: Ack<'_> =
        serde_json::from_slice(&message.payload).map_err(|error| no_acknowledgement(&error.to_string()))?;
    let is = |known: Option<&str>, named: &str| named.is_empty() || known.is_none_or(|known| known == named);
    if !is(by.stream, &ack.stream) || !is(by.domain, &ack.domain) {
        let (stream, domain) = (&ack.stream, &ack.domain);
        let what =
            format!("the stream {stream:?} of domain {domain:?} answers for {subject}, and the right one does not");
        return Err(Failure::new(FailureKind::Displaced, what));
    }
    let in_process = |text: &str| {
        let what = format!("the leader of the stream of {subject} has met a message and not stored it: {text}");
        Err(Failure::new(FailureKind::InProcess, what))
    };
    let Some(ApiError { code, err_code, description }) = ack.error else {
        return match (ack.duplicate, ack.seq) {
            _ if ack.stream.is_empty() => Err(no_acknowledgement("it names no stream")),
            (false, 0) => Err(no_acknowledgement("it names no position")),
            (true, 0) => in_process("a duplicate at no position"),
            (false, seq) => Ok(Ok(Published::Stored(seq))),
            (true, seq) => Ok(Ok(Published::Duplicate(seq))),
        };
    };
    let text = format!("{description} (error {err_code})");
    match err_code {
        // A stream numbers its errors.
        0 => Err(no_acknowledgement(&format!("an error without a number: {description}"))),
        // A full stream refuses them all: nothing is wrong with this message, and room may be made.
        api::STORE_FAILED => Err(Failure::new(
            FailureKind::Refused,
            format!("the stream of {subject} is full and discards what is new: {text}"),
        )),
        code if api::OUT_OF_RESOURCES.contains(&code) => Err(Failure::new(FailureKind::Refused, text)),
        api::DUPLICATE_IN_PROCESS => in_process(&text),
        api::MESSAGE_TOO_LARGE => Ok(Err(Refusal::Rejected(text))),
        _ if code >= 500 => Err(Failure::new(FailureKind::NoResponders, text)),
        _ => Ok(Err(Refusal::Rejected(text))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(headers: &'static str, payload: &'static str) -> Result<Result<Published, Refusal>, FailureKind> {
        answer_to(Acknowledger { stream: Some("T"), domain: None }, headers, payload)
    }

    fn answer_to(
        by: Acknowledger<'_>,
        headers: &'static str,
        payload: &'static str,
    ) -> Result<Result<Published, Refusal>, FailureKind> {
        let (headers, payload) = (Bytes::from(headers), Bytes::from(payload));
        read(&Incoming { subject: Bytes::new(), reply: Bytes::new(), headers, payload }, "s", by)
            .map_err(|failure| failure.kind)
    }

    /// Each answer means one thing: stored, there already, refused for good, not now, or not known.
    #[test]
    fn acknowledgements_are_told_apart() {
        let error = |code: u16, err_code: u32| -> &'static str {
            format!(r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"d"}},"stream":"T","seq":0}}"#)
                .leak()
        };
        assert_eq!(answer("", r#"{"stream":"T","seq":7}"#), Ok(Ok(Published::Stored(7))));
        assert_eq!(answer("", r#"{"stream":"T","seq":7,"duplicate":true}"#), Ok(Ok(Published::Duplicate(7))));
        assert_eq!(answer("NATS/1.0 503\r\n\r\n", ""), Err(FailureKind::NoResponders));
        assert_eq!(answer("", error(503, 10077)), Err(FailureKind::Refused));
        assert_eq!(answer("", error(500, 10023)), Err(FailureKind::Refused));
        assert_eq!(answer("", error(409, 10158)), Err(FailureKind::InProcess));
        assert_eq!(answer("", error(503, 10008)), Err(FailureKind::NoResponders));
        assert!(matches!(answer("", error(400, 10054)), Ok(Err(Refusal::Rejected(_)))));
        assert!(matches!(answer("", error(400, 10060)), Ok(Err(Refusal::Rejected(_)))));
    }

    /// An answer without a position leaves it open whether the message is there, whatever else it says.
    #[test]
    fn what_has_no_position_is_not_known_to_be_there() {
        for text in [r#"{"stream":"T","seq":0,"duplicate":true}"#, r#"{"stream":"T","duplicate":true}"#] {
            assert_eq!(answer("", text), Err(FailureKind::InProcess), "{text}");
        }
        for text in [r#"{"stream":"T","seq":0}"#, r#"{"stream":"T","seq":0,"duplicate":false}"#, r#"{"stream":"T"}"#] {
            assert_eq!(answer("", text), Err(FailureKind::Connection), "{text}");
        }
    }

    /// What another stream answers, or one of that name in another domain, says nothing of ours: not that a message is
    /// there, and not that it is refused.
    #[test]
    fn only_the_right_stream_acknowledges() {
        let ours = Acknowledger { stream: Some("T"), domain: Some("hub") };
        let stored = Ok(Ok(Published::Stored(7)));
        assert_eq!(answer_to(ours, "", r#"{"stream":"T","domain":"hub","seq":7}"#), stored);
        for text in [
            r#"{"stream":"U","domain":"hub","seq":7}"#,
            r#"{"stream":"T","domain":"leaf","seq":7,"duplicate":true}"#,
            r#"{"stream":"U","seq":0,"error":{"code":400,"err_code":10060,"description":"d"}}"#,
        ] {
            assert_eq!(answer_to(ours, "", text), Err(FailureKind::Displaced), "{text}");
        }
        let any = Acknowledger { stream: None, domain: None };
        assert_eq!(answer_to(any, "", r#"{"stream":"U","domain":"x","seq":7}"#), stored);
    }

    /// What another program answers on the subject says nothing of the stream: it is no acknowledgement.
    #[test]
    fn only_a_stream_acknowledges() {
        for text in [
            "what?",
            "{}",
            r#"{"ok":true}"#,
            r#"{"error":{"code":400,"description":"no"}}"#,
            r#"{"seq":7}"#,
            r#"{"stream":"","seq":7}"#,
        ] {
            assert_eq!(answer("", text), Err(FailureKind::Connection), "{text}");
        }
    }
}
