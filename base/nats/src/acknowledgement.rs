//! What a stream answers to a message that was published into it.

use std::borrow::Cow;

use serde::Deserialize;

use crate::api_error::ApiError;
use crate::error_code;
use crate::incoming::Incoming;

/// Whose acknowledgements count.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledger<'a> {
    /// The stream that covers the subject, where that was looked for.
    pub stream: Option<&'a str>,
    /// The stream's domain, where it is not the server's own.
    pub domain: Option<&'a str>,
}

/// The answer to one message. A message counts as stored only where the right stream has named its stream sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// The stream has stored it, at this stream sequence.
    Stored(u64),
    /// The stream has a message of this id already, at this stream sequence: nothing was stored.
    Duplicate(u64),
    /// The stream's leader has met the id and names no stream sequence. It is storing the message at this moment, or waits for
    /// its peers, or will never store it; which of these is not known. A leader of 2.10 answers so at once for an id that
    /// it has met, while its peers are out of reach and also after they have gone on without it.
    InProcess(String),
    /// The stream has stored nothing, for this reason.
    Refused(ApiError),
    /// No stream answers for the subject: none covers it, or it has no leader now. Nothing was stored.
    NoResponders,
    /// Another stream, or one of this name in another domain, has answered: the right one has said nothing.
    OtherStream(String),
    /// Something else that listens on the subject has answered: a stream has said nothing.
    Foreign(String),
}

impl Acknowledgement {
    /// Reads an answer to a message that was published for `by`.
    pub fn read(answer: &Incoming, by: Acknowledger<'_>) -> Acknowledgement {
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
        if answer.status() == Some(503) {
            return Acknowledgement::NoResponders;
        }
        let ack: Ack<'_> = match serde_json::from_slice(&answer.payload) {
            Ok(ack) => ack,
            Err(error) => return Acknowledgement::Foreign(error.to_string()),
        };
        let fits = |expected: Option<&str>, named: &str| named.is_empty() || expected.is_none_or(|name| name == named);
        if !fits(by.stream, &ack.stream) || !fits(by.domain, &ack.domain) {
            let (stream, domain) = (&ack.stream, &ack.domain);
            return Acknowledgement::OtherStream(format!("the stream {stream:?} of domain {domain:?}"));
        }
        match ack.error {
            // A stream numbers its errors.
            Some(error) if error.err_code == 0 => {
                Acknowledgement::Foreign(format!("an error without a number: {}", error.description))
            }
            Some(error) if error.err_code == error_code::DUPLICATE_IN_PROCESS => {
                Acknowledgement::InProcess(format!("{} (error {})", error.description, error.err_code))
            }
            Some(error) => Acknowledgement::Refused(error),
            None => match (ack.duplicate, ack.seq) {
                _ if ack.stream.is_empty() => Acknowledgement::Foreign("it names no stream".to_owned()),
                (false, 0) => Acknowledgement::Foreign("it names no stream sequence".to_owned()),
                (true, 0) => Acknowledgement::InProcess("a duplicate at no stream sequence".to_owned()),
                (false, sequence) => Acknowledgement::Stored(sequence),
                (true, sequence) => Acknowledgement::Duplicate(sequence),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(payload: &str) -> Acknowledgement {
        read_for(Acknowledger { stream: Some("T"), domain: None }, "", payload)
    }

    fn read_for(by: Acknowledger<'_>, headers: &'static str, payload: &str) -> Acknowledgement {
        let (headers, payload) = (Bytes::from(headers), Bytes::copy_from_slice(payload.as_bytes()));
        Acknowledgement::read(&Incoming { subject: Bytes::new(), reply: Bytes::new(), headers, payload }, by)
    }

    /// Each answer means one thing: stored, there already, refused, nobody there, or not known.
    #[test]
    fn acknowledgements_are_told_apart() {
        assert_eq!(read(r#"{"stream":"T","seq":7}"#), Acknowledgement::Stored(7));
        assert_eq!(read(r#"{"stream":"T","seq":7,"duplicate":true}"#), Acknowledgement::Duplicate(7));
        let any = Acknowledger { stream: None, domain: None };
        assert_eq!(read_for(any, "NATS/1.0 503\r\n\r\n", ""), Acknowledgement::NoResponders);
        let refused = |err_code: u32| {
            read(&format!(r#"{{"error":{{"code":400,"err_code":{err_code},"description":"d"}},"stream":"T","seq":0}}"#))
        };
        let wrong = ApiError { code: 400, err_code: error_code::WRONG_LAST_SEQUENCE, description: "d".into() };
        assert_eq!(refused(error_code::WRONG_LAST_SEQUENCE), Acknowledgement::Refused(wrong));
        assert!(matches!(refused(error_code::DUPLICATE_IN_PROCESS), Acknowledgement::InProcess(_)));
    }

    /// An answer without a stream sequence leaves it open whether the message is there, whatever else it says.
    #[test]
    fn what_has_no_sequence_is_not_known_to_be_there() {
        for text in [r#"{"stream":"T","seq":0,"duplicate":true}"#, r#"{"stream":"T","duplicate":true}"#] {
            assert!(matches!(read(text), Acknowledgement::InProcess(_)), "{text}");
        }
        for text in [r#"{"stream":"T","seq":0}"#, r#"{"stream":"T","seq":0,"duplicate":false}"#, r#"{"stream":"T"}"#] {
            assert!(matches!(read(text), Acknowledgement::Foreign(_)), "{text}");
        }
    }

    /// What another stream answers, or one of that name in another domain, says nothing of ours: not that a message is
    /// there, and not that it is refused.
    #[test]
    fn only_the_right_stream_acknowledges() {
        let ours = Acknowledger { stream: Some("T"), domain: Some("hub") };
        let stored = Acknowledgement::Stored(7);
        assert_eq!(read_for(ours, "", r#"{"stream":"T","domain":"hub","seq":7}"#), stored);
        for text in [
            r#"{"stream":"U","domain":"hub","seq":7}"#,
            r#"{"stream":"T","domain":"leaf","seq":7,"duplicate":true}"#,
            r#"{"stream":"U","seq":0,"error":{"code":400,"err_code":10060,"description":"d"}}"#,
        ] {
            assert!(matches!(read_for(ours, "", text), Acknowledgement::OtherStream(_)), "{text}");
        }
        let any = Acknowledger { stream: None, domain: None };
        assert_eq!(read_for(any, "", r#"{"stream":"U","domain":"x","seq":7}"#), stored);
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
            assert!(matches!(read(text), Acknowledgement::Foreign(_)), "{text}");
        }
    }
}
