//! All slots that look free are claimed at once, and whatever is granted is kept: one process holds several.
//!
//! Source: ours. It is the obvious way to make a search faster.

use std::collections::VecDeque;

use tenure_core::{
    Elector, ElectorConfig, Held, Input, LeaseKey, Output, RequestId, SlotsConfig, SlotsOutput, Standing, Time,
};

use crate::machine::{Machine, SlotsFace};
use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "claims_all_free_slots",
    bug: "all free slots are claimed at once, and every grant is kept",
    slots: |config| Box::new(AllAtOnce::new(&config)),
    ..Mutant::HONEST
};

struct AllAtOnce {
    electors: Vec<Elector>,
    out: VecDeque<SlotsOutput>,
}

impl AllAtOnce {
    fn new(config: &SlotsConfig) -> Self {
        let elector = |key: &LeaseKey| {
            Elector::new(ElectorConfig {
                key: key.clone(),
                holder: config.holder.clone(),
                process: config.process,
                timing: config.timing,
                hold: config.hold,
                note: config.note.clone(),
                leave_lease: config.leave_lease,
                hints: config.hints,
                seed: config.seed,
            })
        };
        AllAtOnce { electors: config.keys.all().iter().map(elector).collect(), out: VecDeque::new() }
    }
}

impl Machine for AllAtOnce {
    type Input = Input;
    type Output = SlotsOutput;

    fn handle(&mut self, now: Time, input: Input) {
        let count = self.electors.len() as u64;
        for (slot, elector) in self.electors.iter_mut().enumerate() {
            match &input {
                Input::Answer(id, _) if id.0 % count != slot as u64 => elector.handle(now, Input::Timeout),
                Input::Answer(id, answer) => {
                    elector.handle(now, Input::Answer(RequestId(id.0 / count), answer.clone()))
                }
                other => elector.handle(now, other.clone()),
            }
            while let Some(output) = elector.poll() {
                self.out.push_back(match output {
                    Output::Send(id, request) => SlotsOutput::Send(RequestId(id.0 * count + slot as u64), request),
                    Output::Work(order) => SlotsOutput::Work(slot, order),
                    Output::Event(event) => SlotsOutput::Event(Some(slot), event),
                });
            }
        }
    }

    fn poll(&mut self) -> Option<SlotsOutput> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.electors.iter().filter_map(Elector::poll_timeout).min()
    }
}

impl SlotsFace for AllAtOnce {
    fn is_current(&self, now: Time) -> bool {
        self.electors.iter().any(|elector| elector.is_current(now))
    }

    fn held(&self) -> Option<Held> {
        self.electors.iter().find_map(Elector::held)
    }

    fn standing(&self) -> Standing {
        self.electors[0].standing()
    }
}
