//! A frame around what stands between a process and a server of records: a mutant changes what is shown to the steps, or
//! what they want, and nothing else.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tenure_core::{LeaseKey, LeaseRecord};
use tenure_records::{Ask, Content, Moment, Next, Record, Seen, Swap};
use tenure_store::StoreError;

use crate::shell::{RecordShell, Shell, unfit};

/// A verb under way, as a twist sees it.
pub(crate) struct Verb {
    pub(crate) number: u64,
    pub(crate) ask: Ask,
}

/// What a mutant changes. By default nothing.
pub(crate) trait ShellTwist {
    /// A record is shown to the verb's step, or to nobody's: what of it is shown.
    fn shows(&mut self, _at: Moment, _verb: Option<&Verb>, _key: &LeaseKey, seen: Seen) -> Seen {
        seen
    }

    /// The verb's step wants this done next: what is done.
    fn wants(&mut self, _at: Moment, _verb: &Verb, next: Next) -> Next {
        next
    }

    /// The verb's write was answered: what the step is told, or what is done without a word to it.
    fn swapped(
        &mut self,
        _at: Moment,
        _verb: &Verb,
        swap: Result<Swap, StoreError>,
    ) -> ControlFlow<Next, Result<Swap, StoreError>> {
        ControlFlow::Continue(swap)
    }
}

struct Frame<T> {
    twist: T,
    shell: RecordShell,
    verbs: BTreeMap<u64, Verb>,
}

/// The steps and the memory of a process with `twist` before them.
pub(crate) fn twisted(random: u64, twist: impl ShellTwist + 'static) -> Box<dyn Shell> {
    Box::new(Frame { twist, shell: RecordShell::new(random), verbs: BTreeMap::new() })
}

impl<T: ShellTwist> Frame<T> {
    fn leaves(&mut self, at: Moment, verb: Verb, next: Next) -> Next {
        let next = self.twist.wants(at, &verb, next);
        self.keep(verb, next)
    }

    fn keep(&mut self, verb: Verb, next: Next) -> Next {
        if matches!(next, Next::Done(_)) {
            self.shell.dropped(verb.number);
        } else {
            self.verbs.insert(verb.number, verb);
        }
        next
    }
}

impl<T: ShellTwist> Shell for Frame<T> {
    fn begin(&mut self, at: Moment, verb: u64, ask: Ask) -> Next {
        let next = self.shell.begin(at, verb, ask.clone());
        self.leaves(at, Verb { number: verb, ask }, next)
    }

    fn seen(&mut self, at: Moment, verb: u64, seen: Result<Seen, StoreError>) -> Next {
        let Some(verb) = self.verbs.remove(&verb) else { return unfit() };
        let seen = seen.map(|seen| self.twist.shows(at, Some(&verb), key_of(&verb.ask), seen));
        let next = self.shell.seen(at, verb.number, seen);
        self.leaves(at, verb, next)
    }

    fn swapped(&mut self, at: Moment, verb: u64, swap: Result<Swap, StoreError>) -> Next {
        let Some(verb) = self.verbs.remove(&verb) else { return unfit() };
        let swap = match self.twist.swapped(at, &verb, swap) {
            ControlFlow::Continue(Ok(Swap::Conflict(Some(found)))) => {
                Ok(Swap::Conflict(Some(self.twist.shows(at, Some(&verb), key_of(&verb.ask), found))))
            }
            ControlFlow::Continue(swap) => swap,
            ControlFlow::Break(next) => return self.keep(verb, next),
        };
        let next = self.shell.swapped(at, verb.number, swap);
        self.leaves(at, verb, next)
    }

    fn dropped(&mut self, verb: u64) {
        self.verbs.remove(&verb);
        self.shell.dropped(verb);
    }

    fn listed(&mut self, at: Moment, rows: Vec<(LeaseKey, Seen)>) -> Vec<LeaseRecord> {
        let shown = rows.into_iter().map(|(key, seen)| {
            let seen = self.twist.shows(at, None, &key, seen);
            (key, seen)
        });
        let shown = shown.collect();
        self.shell.listed(at, shown)
    }

    fn heard(&mut self, at: Moment, key: &LeaseKey, seen: Seen) -> bool {
        let seen = self.twist.shows(at, None, key, seen);
        self.shell.heard(at, key, seen)
    }
}

/// The key that is asked for.
pub(crate) fn key_of(ask: &Ask) -> &LeaseKey {
    match ask {
        Ask::Acquire(claim) => &claim.key,
        Ask::Renew(held) | Ask::Release(held) => &held.key,
        Ask::RequestResign(key) | Ask::Remove(key) | Ask::Look(key) => key,
    }
}

/// The record, where one of a lease is shown.
pub(crate) fn record(seen: &Seen) -> Option<&Record> {
    match &seen.content {
        Some(Content::Lease(record)) => Some(record),
        _ => None,
    }
}
