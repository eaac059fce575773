//! Publishing one batch over one connection: its messages go out in a bounded window, and each is answered by its
//! acknowledgement.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tenure_base_nats::{
    Acknowledgement, Acknowledger, ApiError, Connection, Headers, Incoming, NatsErrorKind, error_code,
};
use tenure_bus::{Batch, Published, Refusal};
use tokio::time::{Instant, sleep_until};

use crate::error::{PublishError, PublishErrorKind};
use crate::message_headers;

/// How many messages may be unanswered. A larger window is not faster, because the server is the limit then.
const WINDOW: usize = 256;
/// How many bytes are gathered before they are written.
const CHUNK: usize = 64 * 1024;

/// A batch, and the answers to its messages so far.
pub(crate) struct PublishWindow<'a> {
    batch: &'a Batch<'a>,
    answers: Vec<Option<Result<Published, Refusal>>>,
    unanswered: usize,
    /// Whether the stream has acknowledged anything on the connection of this run.
    heard: bool,
}

impl<'a> PublishWindow<'a> {
    pub(crate) fn new(batch: &'a Batch<'a>) -> PublishWindow<'a> {
        let count = batch.messages.len();
        PublishWindow { batch, answers: vec![None; count], unanswered: count, heard: false }
    }

    /// The answers, once all are there.
    pub(crate) fn into_answers(self) -> Vec<Result<Published, Refusal>> {
        self.answers.into_iter().flatten().collect()
    }

    /// How many messages have no answer yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Whether the stream has acknowledged a message of this subject on the connection of the last run.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard
    }

    /// How many messages may be unanswered now.
    fn window(&self) -> usize {
        if self.heard { WINDOW } else { 1 }
    }

    /// Publishes the unanswered messages over this connection, and waits for the answers of `by`: until `deadline`, and
    /// at most `silence` without any answer. After an error that [`PublishError::is_retryable`] the messages that are
    /// still unanswered may be tried again; those that were stored meanwhile are then answered as duplicates.
    ///
    /// Where the connection was not `heard` on this subject yet, the first message goes alone until it is acknowledged: the
    /// server of a cluster may still be learning of a stream that was just made, refuse the first messages of a window and
    /// pass on the rest, which would then lie in front of them.
    pub(crate) async fn run(
        &mut self,
        connection: &mut Connection,
        heard: bool,
        by: Acknowledger<'_>,
        deadline: Instant,
        silence: Duration,
    ) -> Result<(), PublishError> {
        self.reject_too_large(connection.info().max_payload);
        let first_reply = connection.reserve_replies(self.batch.messages.len() as u64);
        self.heard = heard;
        let mut run = RunProgress { first_reply, next: 0, in_flight: 0, failed: None, other_stream: None };
        let mut headers = Headers::new();
        let mut last_answer = Instant::now();
        let mut pinged: Option<Instant> = None;
        let mut alarm = pin!(sleep_until(deadline.min(last_answer + silence / 2)));
        loop {
            while let Some(message) = connection.take_message()? {
                if self.take_answer(&message, by, &mut run) {
                    last_answer = Instant::now();
                }
            }
            self.fill(connection, &mut headers, &mut run);
            if run.in_flight == 0 && connection.is_flushed() {
                return run.failed.map_or(Ok(()), Err);
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
            if now >= deadline.min(last_answer + silence) {
                let answers_pings = pinged.is_some_and(|at| connection.last_pong() >= at) && connection.is_flushed();
                return Err(run.not_acknowledged(answers_pings, connection));
            }
            let half = last_answer + silence / 2;
            if now >= half && pinged.is_none_or(|at| at < last_answer) {
                connection.ping();
                pinged = Some(now);
            }
            alarm.as_mut().reset(deadline.min(if half > now { half } else { last_answer + silence }));
        }
    }

    /// Rejects messages above the server's limit: sending one would end the connection, and with it the other messages.
    fn reject_too_large(&mut self, limit: usize) {
        let term = self.batch.fence.map(|(_, term)| term);
        for (message, answer) in self.batch.messages.iter().zip(&mut self.answers) {
            // Headers are a few hundred bytes and the channel's name; most messages are nowhere near.
            let is_near = message.body.len() + message.channel.len() * 4 + 1024 > limit;
            if answer.is_none() && is_near && limit > 0 {
                let mut headers = Headers::new();
                message_headers::write(&mut headers, message, term);
                let size = headers.size() + message.body.len();
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

    /// Hands messages to the connection, as far as window and chunk allow.
    fn fill(&mut self, connection: &mut Connection, headers: &mut Headers, run: &mut RunProgress) {
        let term = self.batch.fence.map(|(_, term)| term);
        while run.failed.is_none() && run.in_flight < self.window() && connection.unwritten() < CHUNK {
            let index = run.next;
            let Some(message) = self.batch.messages.get(index) else { return };
            run.next += 1;
            if self.answers[index].is_none() {
                run.in_flight += 1;
                message_headers::write(headers, message, term);
                let reply = Some(run.first_reply + index as u64);
                connection.publish(self.batch.subject, reply, Some(headers), &message.body);
            }
        }
    }

    /// Takes an answer in; returns false where the message belongs to none of this run, or comes from another stream.
    fn take_answer(&mut self, message: &Incoming, by: Acknowledger<'_>, run: &mut RunProgress) -> bool {
        let number = message.reply_number().and_then(|number| number.checked_sub(run.first_reply));
        let index = number.and_then(|number| usize::try_from(number).ok()).filter(|index| *index < run.next);
        let answer = index.and_then(|index| self.answers.get_mut(index)).filter(|answer| answer.is_none());
        let (Some(answer), subject) = (answer, self.batch.subject) else { return false };
        let meaning = match Acknowledgement::read(message, by) {
            // Another subscriber answers on the subject: the stream's own answer is still awaited.
            Acknowledgement::Foreign(why) => {
                tracing::debug!(component = "publisher", subject, why, "an answer that is no acknowledgement");
                return false;
            }
            Acknowledgement::OtherStream(name) => {
                let text = format!("{name} answers for {subject}, and the right one does not");
                tracing::debug!(component = "publisher", subject, "{text}");
                run.other_stream = Some(PublishError::new(PublishErrorKind::OtherStream, text));
                return false;
            }
            acknowledgement => meaning(acknowledgement, subject),
        };
        run.in_flight = run.in_flight.saturating_sub(1);
        match meaning {
            Ok(answered) => {
                self.heard = true;
                *answer = Some(answered);
                self.unanswered -= 1;
            }
            // The worst error is kept: a lasting one before one that may pass.
            Err(error) => {
                if run.failed.as_ref().is_none_or(PublishError::is_retryable) {
                    run.failed = Some(error);
                }
            }
        }
        true
    }
}

/// The progress of one run.
struct RunProgress {
    /// The reply number of the batch's first message.
    first_reply: u64,
    /// The index of the message to publish next.
    next: usize,
    /// How many messages are published and unanswered.
    in_flight: usize,
    /// Why nothing more is published in this run; answers that are on their way are still awaited.
    failed: Option<PublishError>,
    /// Set when another stream than the right one has answered.
    other_stream: Option<PublishError>,
}

impl RunProgress {
    /// The error for answers that did not come in time: if the server answers PINGs, it is there and the stream is not.
    fn not_acknowledged(self, answers_pings: bool, connection: &Connection) -> PublishError {
        match self.other_stream {
            Some(error) if answers_pings => error,
            _ => {
                let client = PublishErrorKind::Client(NatsErrorKind::Unreachable);
                let kind = if answers_pings { PublishErrorKind::Unacknowledged } else { client };
                let (count, server) = (self.in_flight, connection.server());
                PublishError::new(kind, format!("{server}: {count} messages are not acknowledged in time"))
            }
        }
    }
}

/// What an answer of the right stream means for its message, or for the whole batch.
fn meaning(answer: Acknowledgement, subject: &str) -> Result<Result<Published, Refusal>, PublishError> {
    match answer {
        Acknowledgement::Stored(sequence) => Ok(Ok(Published::Stored(sequence))),
        Acknowledgement::Duplicate(sequence) => Ok(Ok(Published::Duplicate(sequence))),
        Acknowledgement::Refused(error) => refusal(&error, subject).map(Err),
        Acknowledgement::InProcess(why) => {
            let text = format!("the leader of the stream of {subject} has met a message and not stored it: {why}");
            Err(PublishError::new(PublishErrorKind::InProcess, text))
        }
        Acknowledgement::NoResponders => {
            let text = format!("no stream answers for {subject}: it is gone, or has no leader now");
            Err(PublishError::client(NatsErrorKind::NoResponders, text))
        }
        Acknowledgement::OtherStream(why) | Acknowledgement::Foreign(why) => {
            Err(PublishError::client(NatsErrorKind::Unreachable, why))
        }
    }
}

/// Whether a stream that has not stored a message refuses that message, or every message for now.
fn refusal(error: &ApiError, subject: &str) -> Result<Refusal, PublishError> {
    let text = format!("{} (error {})", error.description, error.err_code);
    match error.err_code {
        // A full stream refuses every message: nothing is wrong with this one, and room may be made.
        error_code::STORE_FAILED => {
            let text = format!("the stream of {subject} is full and discards what is new: {text}");
            Err(PublishError::client(NatsErrorKind::Unavailable, text))
        }
        code if error_code::OUT_OF_RESOURCES.contains(&code) => {
            Err(PublishError::client(NatsErrorKind::Unavailable, text))
        }
        error_code::MESSAGE_TOO_LARGE => Ok(Refusal::Rejected(text)),
        _ if error.code >= 500 => Err(PublishError::client(NatsErrorKind::NoResponders, text)),
        _ => Ok(Refusal::Rejected(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, err_code: u32) -> Result<Result<Published, Refusal>, PublishErrorKind> {
        let error = ApiError { code, err_code, description: "d".into() };
        meaning(Acknowledgement::Refused(error), "s").map_err(|error| error.kind)
    }

    /// Each answer means one thing: stored, there already, refused for good, not now, or not known.
    #[test]
    fn answers_are_told_apart() {
        let mean = |answer| meaning(answer, "s").map_err(|error| error.kind);
        let client = PublishErrorKind::Client;
        assert_eq!(mean(Acknowledgement::Stored(7)), Ok(Ok(Published::Stored(7))));
        assert_eq!(mean(Acknowledgement::Duplicate(7)), Ok(Ok(Published::Duplicate(7))));
        assert_eq!(mean(Acknowledgement::NoResponders), Err(client(NatsErrorKind::NoResponders)));
        assert_eq!(mean(Acknowledgement::InProcess("x".into())), Err(PublishErrorKind::InProcess));
        assert_eq!(refused(503, 10077), Err(client(NatsErrorKind::Unavailable)));
        assert_eq!(refused(500, 10023), Err(client(NatsErrorKind::Unavailable)));
        assert_eq!(refused(503, 10008), Err(client(NatsErrorKind::NoResponders)));
        assert!(matches!(refused(400, 10054), Ok(Err(Refusal::Rejected(_)))));
        assert!(matches!(refused(400, 10060), Ok(Err(Refusal::Rejected(_)))));
    }
}
