//! A campaign that begins anew forgets the slot that is held, and takes another one beside it.
//!
//! Source: ours. A holder that is made anew after an error of its caller, while the work of the one before is still running.

use std::collections::VecDeque;

use tenure_core::{Held, Input, RequestId, Slots, SlotsConfig, SlotsOutput, Standing, Time};

use crate::machine::{Machine, SlotsFace};
use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "forgets_its_slot",
    bug: "a campaign that is asked for while a slot is held takes another one",
    slots: |config| Box::new(BeginsAnew { slots: Slots::new(config.clone()), config, made: 1, out: VecDeque::new() }),
    ..Mutant::HONEST
};

struct BeginsAnew {
    config: SlotsConfig,
    slots: Slots,
    made: u64,
    out: VecDeque<SlotsOutput>,
}

/// The requests of each maker are told apart by the upper half of their ids.
const EACH: u64 = 1 << 32;

impl Machine for BeginsAnew {
    type Input = Input;
    type Output = SlotsOutput;

    fn handle(&mut self, now: Time, input: Input) {
        if matches!(input, Input::Campaign) && self.slots.leading().is_some() {
            // A fresh process half, or its nonces would repeat those of the one before.
            self.config.process = self.config.process.wrapping_add(1);
            self.config.seed = self.config.seed.wrapping_add(1);
            self.slots = Slots::new(self.config.clone());
            self.made += 1;
        }
        match input {
            Input::Answer(id, _) if id.0 / EACH != self.made => {}
            Input::Answer(id, answer) => self.slots.handle(now, Input::Answer(RequestId(id.0 % EACH), answer)),
            other => self.slots.handle(now, other),
        }
        while let Some(output) = self.slots.poll() {
            self.out.push_back(match output {
                SlotsOutput::Send(id, request) => SlotsOutput::Send(RequestId(self.made * EACH + id.0), request),
                other => other,
            });
        }
    }

    fn poll(&mut self) -> Option<SlotsOutput> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.slots.poll_timeout()
    }
}

impl SlotsFace for BeginsAnew {
    fn is_current(&self, now: Time) -> bool {
        self.slots.is_current(now)
    }

    fn held(&self) -> Option<Held> {
        self.slots.held()
    }

    fn standing(&self) -> Standing {
        self.slots.standing()
    }
}
