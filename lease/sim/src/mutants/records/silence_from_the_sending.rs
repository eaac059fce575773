//! Silence is counted from the sending of the read: for as long as the read was under way, nobody had written the version yet.
//!
//! Source: ours; it is the rule of the holder's own deadline, applied on the wrong side.

use std::collections::BTreeMap;

use tenure_core::{LeaseKey, Time};
use tenure_records::{Moment, Next, Seen, Version};

use crate::invariants::{leases_last, no_more_than_slots, one_actor};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "silence_from_the_sending",
    bug: "silence is counted from the sending of the read",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME],
    shell: |random| shell_frame::twisted(random, CountsFromTheSending::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct CountsFromTheSending {
    sent: BTreeMap<u64, Time>,
    known: BTreeMap<LeaseKey, Option<Version>>,
}

impl ShellTwist for CountsFromTheSending {
    fn shows(&mut self, at: Moment, verb: Option<&Verb>, key: &LeaseKey, seen: Seen) -> Seen {
        let is_new = self.known.insert(key.clone(), seen.version.clone()) != Some(seen.version.clone());
        match verb.and_then(|verb| self.sent.get(&verb.number)) {
            Some(sent) if is_new => Seen { age: Some(at.now.since(*sent)), ..seen },
            _ => seen,
        }
    }

    fn wants(&mut self, at: Moment, verb: &Verb, next: Next) -> Next {
        match next {
            Next::Read(_) => self.sent.insert(verb.number, at.now),
            _ => self.sent.remove(&verb.number),
        };
        next
    }
}
