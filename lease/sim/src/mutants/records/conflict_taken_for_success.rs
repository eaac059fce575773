//! A write whose outcome is unknown is sent again. The second try meets a conflict, and that is taken for the first one's
//! success: whoever wrote between the two is overlooked.
//!
//! It stands for clients that repeat a conditional write by themselves, and for callers who know that and read the conflict so.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tenure_records::{Moment, Next, Swap, Version, Write};
use tenure_store::StoreError;

use crate::invariants::{leases_last, no_more_than_slots, one_actor, terms_grow};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "conflict_taken_for_success",
    bug: "a write of unknown outcome is repeated, and its conflict taken for the first one's success",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME, terms_grow::NAME],
    shell: |random| shell_frame::twisted(random, Repeats::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct Repeats {
    /// The write of each verb that is under way, and whether it is the second try.
    writes: BTreeMap<u64, (Write, bool)>,
}

impl ShellTwist for Repeats {
    fn wants(&mut self, _at: Moment, verb: &Verb, next: Next) -> Next {
        if let Next::Write(write) = &next {
            self.writes.insert(verb.number, (write.clone(), false));
        } else {
            self.writes.remove(&verb.number);
        }
        next
    }

    fn swapped(
        &mut self,
        _at: Moment,
        verb: &Verb,
        swap: Result<Swap, StoreError>,
    ) -> ControlFlow<Next, Result<Swap, StoreError>> {
        match (swap, self.writes.get_mut(&verb.number)) {
            (Err(error), Some((write, again @ false))) if error.is_outcome_unknown() => {
                *again = true;
                ControlFlow::Break(Next::Write(write.clone()))
            }
            (Ok(Swap::Conflict(found)), Some((_, true))) => {
                let version = found.and_then(|found| found.version);
                ControlFlow::Continue(Ok(Swap::Done(version.unwrap_or_else(|| Version::new("none")))))
            }
            (swap, _) => ControlFlow::Continue(swap),
        }
    }
}
