//! What a stream has acknowledged a moment ago on one subject: kept in case that it loses it.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_bus::{Message, Published, Refusal};
use tenure_core::Time;

use crate::stream::Origin;

/// How many messages are kept.
const MOST: usize = 4096;
/// How many bytes they may have together.
const BYTES: usize = 8 * 1024 * 1024;
/// How long they are kept: beyond the two minutes after which a server has its files written to the disk, and well within
/// any duplicate window, so that what is there all the same is not there twice.
const AGE: Duration = Duration::from_secs(300);
/// About what a message needs besides its body.
const EACH: usize = 256;

/// What was acknowledged last, and what of it has to be published again.
///
/// A server keeps what it has acknowledged, except: one that lost its power loses what it had not written to its disk yet,
/// and a cluster of 2.9 may take back what its leader has acknowledged when another one leads. Then positions that were
/// named before are named again.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// The stream that the positions are of, where it is known.
    origin: Option<Origin>,
    /// The highest position that was stored.
    last: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
    lost: VecDeque<Message>,
}

#[derive(Debug)]
struct Kept {
    pos: u64,
    at: Time,
    message: Message,
}

/// Positions begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setback {
    /// The highest that was named before.
    pub(crate) before: u64,
    /// The lowest that was named now.
    pub(crate) first: u64,
}

impl Recent {
    /// Takes note of what `origin` has acknowledged. Where positions begin again, what stood at them is lost.
    pub(crate) fn note(
        &mut self,
        now: Time,
        origin: Option<&Origin>,
        messages: &[Message],
        answers: &[Result<Published, Refusal>],
    ) -> Option<Setback> {
        let stored = answers.iter().filter_map(|answer| match answer {
            Ok(Published::Stored(pos)) => Some(*pos),
            _ => None,
        });
        if self.origin.as_ref() != origin {
            *self = Recent { origin: origin.cloned(), ..Recent::default() };
        }
        let mut setback = None;
        if let (Some(first), Some(last)) = (stored.clone().min(), stored.max()) {
            if first <= self.last {
                setback = Some(Setback { before: self.last, first });
                self.lose_from(first);
            }
            self.last = last;
        }
        for (message, answer) in messages.iter().zip(answers) {
            if let Ok(Published::Stored(pos) | Published::Duplicate(pos)) = answer {
                self.bytes += size(message);
                self.kept.push_back(Kept { pos: *pos, at: now, message: message.clone() });
            }
        }
        let old = |kept: &Kept| now > kept.at + AGE;
        while self.kept.len() > MOST || self.bytes > BYTES || self.kept.front().is_some_and(old) {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= size(&oldest.message);
        }
        setback
    }

    /// What the stream has lost, while it is the one that had it. Another one, that was made anew, is owed nothing.
    pub(crate) fn lost(&mut self, of: Option<&Origin>) -> &mut VecDeque<Message> {
        if self.origin.as_ref() != of {
            // What was acknowledged last may be the new one's already.
            self.lost.clear();
            self.origin = of.cloned();
        }
        &mut self.lost
    }

    /// Whether anything may be lost.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    fn lose_from(&mut self, first: u64) {
        for kept in std::mem::take(&mut self.kept) {
            if kept.pos >= first {
                self.bytes -= size(&kept.message);
                self.lost.push_back(kept.message);
            } else {
                self.kept.push_back(kept);
            }
        }
    }
}

fn size(message: &Message) -> usize {
    message.body.len() + EACH
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

    fn origin(created: &str) -> Origin {
        serde_json::from_value(serde_json::json!({
            "config": { "name": "T" }, "created": created, "state": { "last_seq": 0 }
        }))
        .map(|info| Origin::of(&info))
        .unwrap()
    }

    /// Takes note of these numbers, stored one after the other from `pos` on.
    fn stored(recent: &mut Recent, at: u64, numbers: std::ops::Range<u8>, pos: u64) -> Option<Setback> {
        let messages = messages(numbers, 10);
        let answers: Vec<_> = (pos..).take(messages.len()).map(|pos| Ok(Published::Stored(pos))).collect();
        recent.note(Time::from_nanos(at * 1_000_000_000), Some(&origin("a")), &messages, &answers)
    }

    fn lost(recent: &mut Recent, of: &Origin) -> Vec<u8> {
        recent.lost(Some(of)).iter().map(|message| message.id.0[0]).collect()
    }

    /// Where positions begin again, what stood at and behind the first of them is lost, in its order; what is new is not.
    #[test]
    fn what_stood_where_positions_begin_again_is_lost() {
        let mut recent = Recent::default();
        assert_eq!(stored(&mut recent, 1, 0..10, 1), None);
        assert_eq!(stored(&mut recent, 2, 10..20, 11), None);
        assert!(!recent.has_lost());
        assert_eq!(stored(&mut recent, 3, 20..22, 17), Some(Setback { before: 20, first: 17 }));
        assert_eq!(lost(&mut recent, &origin("a")), [16, 17, 18, 19]);
        assert_eq!(stored(&mut recent, 4, 22..24, 18), Some(Setback { before: 18, first: 18 }));
        assert_eq!(lost(&mut recent, &origin("a")), [16, 17, 18, 19, 21]);
    }

    /// A duplicate stands where the answer says, and is lost with what stands there.
    #[test]
    fn duplicates_are_lost_too() {
        let mut recent = Recent::default();
        let answers = [Ok(Published::Stored(7)), Ok(Published::Duplicate(6)), Ok(Published::Duplicate(2))];
        recent.note(Time::from_nanos(1), Some(&origin("a")), &messages(0..3, 10), &answers);
        assert_eq!(stored(&mut recent, 1, 9..10, 6), Some(Setback { before: 7, first: 6 }));
        assert_eq!(lost(&mut recent, &origin("a")), [0, 1]);
    }

    /// A stream that was made anew is owed nothing of the one before.
    #[test]
    fn another_stream_is_owed_nothing() {
        let mut recent = Recent::default();
        stored(&mut recent, 1, 0..10, 1);
        assert!(stored(&mut recent, 2, 10..12, 1).is_some() && recent.has_lost());
        assert!(lost(&mut recent, &origin("b")).is_empty() && !recent.has_lost());
        let mut recent = Recent::default();
        stored(&mut recent, 1, 0..10, 1);
        let answers = [Ok(Published::Stored(1))];
        assert_eq!(recent.note(Time::from_nanos(2), Some(&origin("b")), &messages(0..1, 10), &answers), None);
        assert!(!recent.has_lost() && recent.kept.len() == 1);
    }

    /// What is kept is bounded in number, in bytes and in age.
    #[test]
    fn what_is_kept_is_bounded() {
        let mut recent = Recent::default();
        for round in 0..100 {
            stored(&mut recent, 1, 0..100, 1 + round * 100);
        }
        assert_eq!(recent.kept.len(), MOST);
        let large = messages(0..100, 1_000_000);
        let answers: Vec<_> = (20_000..).take(100).map(|pos| Ok(Published::Stored(pos))).collect();
        recent.note(Time::from_nanos(2), None, &large, &answers);
        assert!(recent.bytes <= BYTES && recent.kept.len() == 8, "{} with {}", recent.kept.len(), recent.bytes);
        stored(&mut recent, 400, 0..1, 30_000);
        assert_eq!((recent.kept.len(), recent.bytes), (1, 10 + EACH));
    }
}
