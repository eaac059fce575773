//! The messages that a stream has acknowledged in the last minutes on one subject: kept, to be published again where the
//! stream loses them.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_base_time::Time;
use tenure_bus::{Message, Published, Refusal};

use crate::incarnation::Incarnation;

/// The most messages that are kept; the oldest are dropped first.
const MAX_MESSAGES: usize = 4096;
/// The most bytes of all kept messages together.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long messages are kept: longer than the two minutes after which a server has written its files to the disk, and
/// well within any duplicate window, so that a message that the stream still has is not stored twice.
const MAX_AGE: Duration = Duration::from_secs(300);
/// About how many bytes a message takes besides its body.
const OVERHEAD: usize = 256;

/// The messages that were acknowledged last, and those of them that have to be published again.
///
/// A server keeps what it has acknowledged, with two exceptions: a server that lost its power loses what it had not
/// written to its disk yet, and a cluster of 2.9 may drop what one leader has acknowledged when another one takes over.
/// Then stream sequences that were assigned before are assigned again.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// The stream that the sequences belong to, if it is known.
    stream: Option<Incarnation>,
    /// The highest sequence that a message was stored at.
    last: u64,
    kept: VecDeque<Kept>,
    /// How many bytes `kept` takes.
    bytes: usize,
    /// The messages that the stream has lost, in their old order.
    lost: VecDeque<Message>,
}

#[derive(Debug)]
struct Kept {
    sequence: u64,
    acknowledged_at: Time,
    message: Message,
}

/// A stream assigned sequences again that it had assigned before: it was recreated, or has lost its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rollback {
    /// The highest sequence that was assigned before.
    pub(crate) before: u64,
    /// The lowest sequence that is assigned now.
    pub(crate) first: u64,
}

impl Acknowledged {
    /// Records what `stream` has acknowledged. If it assigns sequences again, the messages that stood there are lost.
    pub(crate) fn record(
        &mut self,
        now: Time,
        stream: Option<&Incarnation>,
        messages: &[Message],
        answers: &[Result<Published, Refusal>],
    ) -> Option<Rollback> {
        let stored = answers.iter().filter_map(|answer| match answer {
            Ok(Published::Stored(sequence)) => Some(*sequence),
            _ => None,
        });
        if self.stream.as_ref() != stream {
            *self = Acknowledged { stream: stream.cloned(), ..Acknowledged::default() };
        }
        let mut rollback = None;
        if let (Some(first), Some(last)) = (stored.clone().min(), stored.max()) {
            if first <= self.last {
                rollback = Some(Rollback { before: self.last, first });
                self.lose_from(first);
            }
            self.last = last;
        }
        for (message, answer) in messages.iter().zip(answers) {
            if let Ok(Published::Stored(sequence) | Published::Duplicate(sequence)) = answer {
                self.bytes += size(message);
                self.kept.push_back(Kept { sequence: *sequence, acknowledged_at: now, message: message.clone() });
            }
        }
        let is_old = |kept: &Kept| now > kept.acknowledged_at + MAX_AGE;
        while self.kept.len() > MAX_MESSAGES || self.bytes > MAX_BYTES || self.kept.front().is_some_and(is_old) {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= size(&oldest.message);
        }
        rollback
    }

    /// The messages that `stream` has lost. A recreated stream has lost nothing: whoever removed the old one meant to.
    pub(crate) fn lost(&mut self, stream: Option<&Incarnation>) -> &mut VecDeque<Message> {
        if self.stream.as_ref() != stream {
            self.lost.clear();
            // `kept` stays, because the new stream may have acknowledged these messages already.
            self.stream = stream.cloned();
        }
        &mut self.lost
    }

    /// Whether any message has to be published again.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    fn lose_from(&mut self, first: u64) {
        for kept in std::mem::take(&mut self.kept) {
            if kept.sequence >= first {
                self.bytes -= size(&kept.message);
                self.lost.push_back(kept.message);
            } else {
                self.kept.push_back(kept);
            }
        }
    }
}

fn size(message: &Message) -> usize {
    message.body.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tenure_envelope::EnvelopeId;

    use super::*;

    fn messages(numbers: std::ops::Range<u8>, bytes: usize) -> Vec<Message> {
        let body = Bytes::from(vec![b'x'; bytes]);
        numbers
            .map(|n| Message { id: EnvelopeId([n; 16]), kind: "k", channel: "c".into(), body: body.clone() })
            .collect()
    }

    fn stream(created: &str) -> Incarnation {
        serde_json::from_value(serde_json::json!({
            "config": { "name": "T" }, "created": created, "state": { "last_seq": 0 }
        }))
        .map(|info| Incarnation::of(&info))
        .unwrap()
    }

    /// Records these numbers, stored one after the other from `first` on.
    fn stored(acknowledged: &mut Acknowledged, at: u64, numbers: std::ops::Range<u8>, first: u64) -> Option<Rollback> {
        let messages = messages(numbers, 10);
        let answers: Vec<_> = (first..).take(messages.len()).map(|sequence| Ok(Published::Stored(sequence))).collect();
        acknowledged.record(Time::from_nanos(at * 1_000_000_000), Some(&stream("a")), &messages, &answers)
    }

    fn lost(acknowledged: &mut Acknowledged, of: &Incarnation) -> Vec<u8> {
        acknowledged.lost(Some(of)).iter().map(|message| message.id.0[0]).collect()
    }

    /// If sequences are assigned again, the messages at and behind the first of them are lost, in their order; new
    /// messages are not.
    #[test]
    fn what_stood_where_sequences_begin_again_is_lost() {
        let mut acknowledged = Acknowledged::default();
        assert_eq!(stored(&mut acknowledged, 1, 0..10, 1), None);
        assert_eq!(stored(&mut acknowledged, 2, 10..20, 11), None);
        assert!(!acknowledged.has_lost());
        assert_eq!(stored(&mut acknowledged, 3, 20..22, 17), Some(Rollback { before: 20, first: 17 }));
        assert_eq!(lost(&mut acknowledged, &stream("a")), [16, 17, 18, 19]);
        assert_eq!(stored(&mut acknowledged, 4, 22..24, 18), Some(Rollback { before: 18, first: 18 }));
        assert_eq!(lost(&mut acknowledged, &stream("a")), [16, 17, 18, 19, 21]);
    }

    /// A duplicate is kept at the sequence that its answer names, and is lost with that sequence.
    #[test]
    fn duplicates_are_lost_too() {
        let mut acknowledged = Acknowledged::default();
        let answers = [Ok(Published::Stored(7)), Ok(Published::Duplicate(6)), Ok(Published::Duplicate(2))];
        acknowledged.record(Time::from_nanos(1), Some(&stream("a")), &messages(0..3, 10), &answers);
        assert_eq!(stored(&mut acknowledged, 1, 9..10, 6), Some(Rollback { before: 7, first: 6 }));
        assert_eq!(lost(&mut acknowledged, &stream("a")), [0, 1]);
    }

    /// A recreated stream has lost no message of the stream before it.
    #[test]
    fn another_stream_has_lost_nothing() {
        let mut acknowledged = Acknowledged::default();
        stored(&mut acknowledged, 1, 0..10, 1);
        assert!(stored(&mut acknowledged, 2, 10..12, 1).is_some() && acknowledged.has_lost());
        assert!(lost(&mut acknowledged, &stream("b")).is_empty() && !acknowledged.has_lost());
        let mut acknowledged = Acknowledged::default();
        stored(&mut acknowledged, 1, 0..10, 1);
        let answers = [Ok(Published::Stored(1))];
        assert_eq!(acknowledged.record(Time::from_nanos(2), Some(&stream("b")), &messages(0..1, 10), &answers), None);
        assert!(!acknowledged.has_lost() && acknowledged.kept.len() == 1);
    }

    /// The kept messages are bounded in number, in bytes and in age.
    #[test]
    fn what_is_kept_is_bounded() {
        let mut acknowledged = Acknowledged::default();
        for round in 0..100 {
            stored(&mut acknowledged, 1, 0..100, 1 + round * 100);
        }
        assert_eq!(acknowledged.kept.len(), MAX_MESSAGES);
        let large = messages(0..100, 1_000_000);
        let answers: Vec<_> = (20_000..).take(100).map(|sequence| Ok(Published::Stored(sequence))).collect();
        acknowledged.record(Time::from_nanos(2), None, &large, &answers);
        assert!(
            acknowledged.bytes <= MAX_BYTES && acknowledged.kept.len() == 8,
            "{} with {}",
            acknowledged.kept.len(),
            acknowledged.bytes
        );
        stored(&mut acknowledged, 400, 0..1, 30_000);
        assert_eq!((acknowledged.kept.len(), acknowledged.bytes), (1, 10 + OVERHEAD));
    }
}
