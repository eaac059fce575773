//! Which release belongs to which tenure, so that the log can say why a lease was released.

use tenure_core::{Answer, Event, Held, LeaseKey, Released, RequestId, Term};

/// Follows one candidate's tenures and releases. A release of a lease that nobody worked under, such as one whose claim was
/// granted too late, has no reason and is not told of.
#[derive(Debug, Default)]
pub(crate) struct ReleaseReasons {
    /// The term of the last tenure.
    term: Option<Term>,
    /// The tenure that was lost last, and the code of why.
    lost: Option<(Term, &'static str)>,
    /// The releases that are not answered yet; at most as many as requests may be.
    sent: Vec<(RequestId, LeaseKey, &'static str)>,
}

impl ReleaseReasons {
    /// Takes note of a tenure's beginning or end.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::BecameLeader { term } => self.term = Some(*term),
            Event::LostLeadership { reason, .. } => self.lost = self.term.map(|term| (term, reason.code())),
            _ => {}
        }
    }

    /// A release is sent.
    pub(crate) fn sent(&mut self, id: RequestId, held: &Held) {
        if let Some((_, reason)) = self.lost.filter(|(term, _)| *term == held.term) {
            self.sent.push((id, held.key.clone(), reason));
        }
    }

    /// A request is answered. Answers the key and the reason where that has freed the lease of a tenure.
    pub(crate) fn answered(&mut self, id: RequestId, answer: &Answer) -> Option<(LeaseKey, &'static str)> {
        let at = self.sent.iter().position(|(sent, ..)| *sent == id)?;
        let (_, key, reason) = self.sent.swap_remove(at);
        matches!(answer, Answer::Released(Released::Freed)).then_some((key, reason))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_core::{Failure, LossReason, Nonce, Note};

    use super::*;

    fn term(number: u64) -> Term {
        Term::new(number).unwrap()
    }

    fn held(number: u64) -> Held {
        let key = LeaseKey::new("k").unwrap();
        let nonce = Nonce { process: 1, campaign: number };
        Held { key, nonce, term: term(number), ttl: Duration::from_secs(15), note: Note::default() }
    }

    fn lost(reason: LossReason) -> Event {
        Event::LostLeadership { reason, led_for: Duration::ZERO }
    }

    /// A release is told with the reason of its own tenure once the store has freed it, however often it is tried.
    #[test]
    fn a_release_has_the_reason_of_its_tenure() {
        let mut releases = ReleaseReasons::default();
        let freed = Answer::Released(Released::Freed);
        releases.note(&Event::BecameLeader { term: term(7) });
        releases.note(&lost(LossReason::ResignRequested));
        releases.sent(RequestId(1), &held(7));
        let failed = Answer::Failed(Failure { outcome_unknown: true, message: String::new() });
        assert_eq!(releases.answered(RequestId(1), &failed), None);
        releases.sent(RequestId(2), &held(7));
        assert_eq!(releases.answered(RequestId(2), &freed), Some((held(7).key, "resign_requested")));
        assert_eq!(releases.answered(RequestId(2), &freed), None);
    }

    /// A lease that was freed before, and one that nobody has worked under, are not told of.
    #[test]
    fn what_was_no_tenure_is_not_told() {
        let mut releases = ReleaseReasons::default();
        releases.sent(RequestId(1), &held(3));
        assert_eq!(releases.answered(RequestId(1), &Answer::Released(Released::Freed)), None);
        releases.note(&Event::BecameLeader { term: term(4) });
        releases.note(&lost(LossReason::Lost { to: None }));
        releases.sent(RequestId(2), &held(4));
        assert_eq!(releases.answered(RequestId(2), &Answer::Released(Released::NotHeld)), None);
    }
}
