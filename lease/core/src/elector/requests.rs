//! What was sent to the store and when: matches answers, late ones too, to the moment of their sending.

use alloc::collections::VecDeque;

use super::RequestId;
use crate::{Nonce, Term, Time};

/// How many requests are remembered, answered or given up. An answer that is later than this many requests is ignored;
/// what it granted then runs out with its ttl.
const REMEMBERED: usize = 16;

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Acquire(Nonce),
    Renew(Nonce, Term),
    Release(Nonce, Term),
    Observe,
}

impl Asked {
    /// The word for events.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Asked::Acquire(_) => "acquire",
            Asked::Renew(..) => "renew",
            Asked::Release(..) => "release",
            Asked::Observe => "observe",
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: RequestId,
    pub(super) asked: Asked,
    /// The moment before it was handed out: deadlines count from here, never from the answer.
    pub(super) at: Time,
}

/// The request that is waited for, and the latest others, which may be answered yet, or again.
#[derive(Debug)]
pub(super) struct Requests {
    last: u64,
    current: Option<RequestId>,
    remembered: VecDeque<Sent>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Requests { last: 0, current: None, remembered: VecDeque::new() }
    }

    /// Notes a request as the one that is waited for from now on.
    pub(super) fn send(&mut self, asked: Asked, now: Time) -> RequestId {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.last += 1;
        let id = RequestId(self.last);
        self.remembered.push_back(Sent { id, asked, at: now });
        self.current = Some(id);
        id
    }

    /// The request that is waited for.
    pub(super) fn in_flight(&self) -> Option<Sent> {
        self.current.and_then(|id| self.find(id))
    }

    /// Stops waiting; a late answer is still recognised.
    pub(super) fn abandon(&mut self) {
        self.current = None;
    }

    /// The request that `id` names, and whether it was the one waited for. It stays remembered: a request that was sent
    /// once may still reach the store twice, and the second answer may be the one that says it is lost.
    pub(super) fn answered(&mut self, id: RequestId) -> Option<(Sent, bool)> {
        let sent = self.find(id)?;
        let waited_for = self.current == Some(id);
        if waited_for {
            self.current = None;
        }
        Some((sent, waited_for))
    }

    fn find(&self, id: RequestId) -> Option<Sent> {
        self.remembered.iter().rev().find(|sent| sent.id == id).copied()
    }
}
