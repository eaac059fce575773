//! A campaign that is given up while a claim is under way forgets the claim: a slot that is granted late stays held, and
//! nobody works under it.
//!
//! Source: the acquisition that is cancelled in python-redis-lock and its like, where the reply to SET NX that comes after
//! the time-out is thrown away and the key stays until it expires.

use std::collections::BTreeSet;

use tenure_core::{LeaseKey, Nonce, Order, Request, SlotsOutput, Time};

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "keeps_what_it_gave_up",
    bug: "a slot that is granted after its campaign was given up is not released",
    slots: |config| {
        let keys = config.keys.all().to_vec();
        twisted_slots(config, Forgets { keys, used: BTreeSet::new() })
    },
    ..Mutant::HONEST
};

struct Forgets {
    keys: Vec<LeaseKey>,
    /// What work was started under.
    used: BTreeSet<(LeaseKey, Nonce)>,
}

impl Twist<dyn SlotsFace> for Forgets {
    fn output(&mut self, _now: Time, output: SlotsOutput, frame: &mut Framed<dyn SlotsFace>) {
        match &output {
            SlotsOutput::Work(slot, Order::Start { nonce, .. }) => {
                self.used.insert((self.keys[*slot].clone(), *nonce));
            }
            SlotsOutput::Send(_, Request::Release(held)) if !self.used.contains(&(held.key.clone(), held.nonce)) => {
                return;
            }
            _ => {}
        }
        frame.out.push_back(output);
    }
}
