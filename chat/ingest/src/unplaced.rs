//! The channels that are wanted and cannot be joined, and why: remembered until each of them is joined.

use std::collections::BTreeMap;

use tenure_twitch::JoinFailure;

/// Why a channel is not joined, where the server has said so or stays silent. JOIN is sent again now and then, but no
/// repetition soon makes it good. That a JOIN waits for its budget is no such reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnplacedReason {
    /// The last JOIN was refused, or not answered.
    Refused(JoinFailure),
    /// The server has taken the account out of the channel, as it does with who is banned there.
    PutOut,
}

impl UnplacedReason {
    /// A short name that does not change, for pages, metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            UnplacedReason::Refused(failure) => failure.code(),
            UnplacedReason::PutOut => JoinFailure::Banned.code(),
        }
    }
}

/// The channels that cannot be joined. A reason outlives the connection on which it came up: it is as good as ever until
/// another JOIN is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    reasons: BTreeMap<String, UnplacedReason>,
}

impl Unplaced {
    /// The channel could not be joined, or was lost, for this reason. Says whether that is news: a repetition is none.
    pub fn note(&mut self, channel: &str, reason: UnplacedReason) -> bool {
        let before = self.reasons.insert(channel.to_owned(), reason);
        before.map(UnplacedReason::code) != Some(reason.code())
    }

    /// The channel is joined. Answers why it was not before, where there was a reason.
    pub fn joined(&mut self, channel: &str) -> Option<UnplacedReason> {
        self.reasons.remove(channel)
    }

    /// Whether there is a reason why this channel is not joined.
    pub fn contains(&self, channel: &str) -> bool {
        self.reasons.contains_key(channel)
    }

    /// Nothing is known of any channel any more, as where a reader begins.
    pub fn clear(&mut self) {
        self.reasons.clear();
    }

    /// The channels and the codes of their reasons.
    pub fn codes(&self) -> BTreeMap<String, &'static str> {
        self.reasons.iter().map(|(channel, reason)| (channel.clone(), reason.code())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reason is news once, however often JOIN is repeated; another one is news again; a JOIN that succeeds ends it.
    #[test]
    fn a_reason_is_told_once_until_it_changes() {
        let mut unplaced = Unplaced::default();
        let silent = UnplacedReason::Refused(JoinFailure::Silent);
        assert!(unplaced.note("a", silent));
        assert!(!unplaced.note("a", silent) && unplaced.contains("a"));
        assert!(unplaced.note("a", UnplacedReason::Refused(JoinFailure::Suspended)));
        assert_eq!(unplaced.codes(), BTreeMap::from([("a".to_owned(), "suspended")]));
        assert_eq!(unplaced.joined("a"), Some(UnplacedReason::Refused(JoinFailure::Suspended)));
        assert_eq!((unplaced.joined("a"), unplaced.contains("a")), (None, false));
        assert!(unplaced.note("a", silent), "it was joined in between");
    }

    /// Being put out and being refused as banned are the same to whoever reads it: the second is no news.
    #[test]
    fn put_out_is_banned() {
        let mut unplaced = Unplaced::default();
        assert!(unplaced.note("a", UnplacedReason::PutOut));
        assert!(!unplaced.note("a", UnplacedReason::Refused(JoinFailure::Banned)));
        assert_eq!(unplaced.codes()["a"], "banned");
    }
}
