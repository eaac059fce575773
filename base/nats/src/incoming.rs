//! A message as it came from the server.

use bytes::Bytes;

/// A message to one of the connection's subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The subject that it was published under. An answer's is the connection's inbox with a number behind it.
    pub subject: Bytes,
    /// Where an answer goes; empty where none is wanted. Of what a consumer delivers it tells the stream sequence.
    pub reply: Bytes,
    /// The whole header block; empty where there is none.
    pub headers: Bytes,
    /// The body.
    pub payload: Bytes,
}

impl Incoming {
    /// The number of the request that this answers, from the end of its subject.
    pub fn reply_number(&self) -> Option<u64> {
        let digits = self.subject.rsplit(|byte| *byte == b'.').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The status in the first line of the headers, as in `NATS/1.0 503`.
    pub fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.status_line()?.get(..3)?).ok()?.parse().ok()
    }

    /// The status with its words, as in `503 No Responders`; empty where there is none.
    pub fn status_text(&self) -> String {
        let line = self.status_line().and_then(|rest| rest.split(|byte| *byte == b'\r').next());
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }

    /// The value of the first header of this name, in whatever case it is written.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = std::str::from_utf8(&self.headers).ok()?.lines().skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn status_line(&self) -> Option<&[u8]> {
        self.headers.strip_prefix(b"NATS/1.0 ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, headers and number are read where they are there, and are absent where they are not.
    #[test]
    fn what_stands_in_front_of_the_body_is_read() {
        let incoming = |subject: &'static str, headers: &'static str| Incoming {
            subject: Bytes::from(subject),
            reply: Bytes::new(),
            headers: Bytes::from(headers),
            payload: Bytes::new(),
        };
        let answer = incoming("_INBOX.x.17", "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 8\r\n\r\n");
        assert_eq!((answer.reply_number(), answer.status()), (Some(17), Some(100)));
        assert_eq!(answer.status_text(), "100 Idle Heartbeat");
        assert_eq!((answer.header("nats-last-consumer"), answer.header("Nats")), (Some("8"), None));
        let message = incoming("chat.room", "NATS/1.0\r\ntype: a: b\r\n\r\n");
        assert_eq!((message.reply_number(), message.status(), message.header("type")), (None, None, Some("a: b")));
        let bare = incoming("", "");
        assert_eq!((bare.reply_number(), bare.status(), bare.header("type")), (None, None, None));
    }
}
